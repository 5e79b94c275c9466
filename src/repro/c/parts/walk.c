/* Reads the file upwards, past the lanes; what is wrong, or NULL. A timer interrupts most calls. */
static const char *look(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1 + rand() % (rand() % 2 ? 4000 : 32000) };
	unsigned long last, before = ticks, to, from = 0, start = 0, end;
	long used = 0, done = 0, got = 0, asked = 1;
@LOCALS@	for (pos = now = 0; start < BASE + PAGES * page; used += got) {
		int full = got == asked;
		asked = @ASKED@;
		if (used + asked > (long)sizeof(text)) errx(4, "no room for more text below the lanes");
		timerfd_settime(timer, 0, &soon, NULL);
		last = before, before = ticks;
		got = pread(fd, text + used, asked, @OFFSET@used), to = ticks;
		if (got <= 0)
			return line = "end of file", got || done < used ? "malformed" : "truncated";
		from = done != used ? from : full ? last : before; /* full: may be older, fs/seq_file.c */
		for (char *next; (next = memchr(text + done, '\n', used + got - done)); from = before) {
			line = text + done;
			done = next + 1 - text;
			*next = 0;
@SKIP@			if (sscanf(line, "%lx-%lx ", &start, &end) != 2)
				return "malformed";
@PLACE@			const char *wrong = start < BASE ? NULL :
				judge((start - BASE) / page, (end - BASE) / page, from, to);
			if (wrong)
				return wrong;
		}
	}
	return NULL;
}

