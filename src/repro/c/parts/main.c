int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc == 3 ? atol(argv[2]) : 10); /* -s SECONDS */
	unsigned long walks = 0, others = 0;
	const char *wrong;
	pthread_t thread;
	page = sysconf(_SC_PAGESIZE);
	DO(fd = open("@PATH@", O_RDONLY));
	DO(timer = timerfd_create(CLOCK_MONOTONIC, 0));
@FIRST@	for (int round = 0; round < @ROUNDS@; round++, loop("once"))
		alone = @ALONE@;
	alone = 0;
	DO(-!!pthread_create(&thread, NULL, loop, NULL));
	cpu_set_t one = { 0 }, rest = { 0 }; /* the reader keeps to one CPU, the loop to the others */
	int cpu = sched_getaffinity(0, sizeof(rest), &rest) ? -1 : sched_getcpu();
	CPU_SET(cpu, &one), CPU_CLR(cpu, &rest);
	sched_setaffinity(0, sizeof(one), &one), pthread_setaffinity_np(thread, sizeof(rest), &rest);
	for (; time(NULL) < end; walks++, others += wrong != NULL)
		if ((wrong = look()) && strstr("@EXPECTED@", wrong))
			return printf("TORN: %s at %p: %s (walk %lu)\n", wrong, AT(0, pos), line, walks), 1;
	return printf("not torn in %lu walks; %lu were wrong in other ways\n@NOTE@", walks, others), 0;
}
