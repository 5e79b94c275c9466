#define AT(lane, number) ((char *)BASE + ((lane) * STRIDE + (number)) * page)
#define RANGE(lane, from, to) AT(lane, from), ((to) - (from)) * page
#define DO(call) ((long)(call) == -1 ? err(4, #call) : (void)0)
#define STEP(call) do { if (alone && look()) errx(4, "wrong while nothing changes: %s", line); \
	ticks++; DO(call); ticks++; } while (0)
static unsigned long layouts[LAYOUTS][PAGES]; /* for each page the line it is in, hashed; or 0 */
static _Atomic unsigned long ticks; /* goes up before and after each call of the loop */
static unsigned long now; /* the number of the first layout that can explain what comes next */
static long page, pos; /* bytes in a page; the number of that at which the line before ended */
static int @FILES@fd, timer, alone; /* alone: 2 to learn all layouts, 1 to see them again, or 0 */
static char text[1 << 20]; /* what was read */
static const char *line; /* the last line of it; "" for none */

/* What is wrong with the line, made while `ticks` went from `from` to `to`; NULL if nothing is. */
static const char *judge(long start, long end, unsigned long from, unsigned long to)
{
	unsigned long first = now > from / 2 ? now : from / 2, last = (to + 1) / 2, hash = 1, n;
	const char *wrong = "unknown"; /* no layout has it */
	for (const char *c = line; *c; c++)
		hash = (hash * 33 ^ *c) | 1ul << 63;
	for (long number = start; alone == 2 && number < end && number < PAGES; number++)
		layouts[ticks / 2 % LAYOUTS][number] = hash;
	if (@BACK@)
		return "disorder";
	for (now = first; pos < start && pos < PAGES; pos++)
		for (; layouts[now % LAYOUTS][pos]; now++) /* is the page unmapped in a later one? */
			if (now >= last)
				return "hole";
	pos = end;
	if (start >= PAGES || !*line)
		return NULL;
	for (n = 0; n < LAYOUTS; n++) /* some layout has it, but none that there was meanwhile? */
		wrong = layouts[n][start] == hash ? "stale" : wrong;
	for (n = from / 2; n <= last; n++)
		if (layouts[n % LAYOUTS][start] == hash && n >= now)
			return now = n, NULL;
		else if (layouts[n % LAYOUTS][start] == hash)
			wrong = n < first ? "disorder" : "hole"; /* true only before what was seen already */
	return wrong;
}

