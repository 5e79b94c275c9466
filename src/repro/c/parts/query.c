struct query { /* struct procmap_query of linux/fs.h, which is newer than many systems' headers */
	unsigned long size, flags, address, start, end, vma_flags, vma_page, offset, inode;
	unsigned int major, minor, name_size, build_id_size;
	char *name, *build_id;
};

/* Asks for pages at random, or the next above; alone, for all. A timer interrupts most calls. */
static const char *look(void)
{
	static char name[4096];
	const char *wrong = NULL;
	for (pos = 0; pos < PAGES && !wrong && (alone || rand() % 64);) {
		struct itimerspec soon = { .it_value.tv_nsec = 1 + rand() % 4000 };
		struct query q = { sizeof(q), alone || rand() % 2 ? 16 : 0, .name = name, .name_size = 4096,
			.address = BASE + (pos = alone ? pos : rand() % PAGES) * page };
		now = name[0] = 0;
		timerfd_settime(timer, 0, &soon, NULL);
		unsigned long from = ticks;
		int none = ioctl(fd, _IOWR('f', 17, struct query), &q) == -1; /* PROCMAP_QUERY */
		unsigned long to = ticks;
		if (none && errno != ENOENT)
			err(4, "PROCMAP_QUERY");
		snprintf(text, sizeof(text), "%lx-%lx %lx %lx %x:%x %lu %s", q.start, q.end,
			q.vma_flags, q.offset, q.major, q.minor, q.inode, name);
		line = none ? "" : text;
		wrong = none ? judge(q.flags ? PAGES : pos + 1, PAGES, from, to) :
			!q.flags && q.start > q.address ? "unknown" :
			judge((q.start - BASE) / page, (q.end - BASE) / page, from, to);
	}
	return wrong;
}

