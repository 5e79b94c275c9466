/*
 * Loaded before libc by tests/emitted.rs: no read happens during an operation, so nothing can tear
 * whatever the kernel does. With FAULT, what is read once the race has begun is then tampered with.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST "1000000000-" /* how the line of the lanes' first VMA begins */

static atomic_uint next, serving, racing;

static void lock(void) /* first come, first served: neither side starves */
{
	unsigned ticket = next++;
	while (serving != ticket)
		sched_yield();
}

static long locked(long number, long a, long b, long c, long d, long e, long f)
{
	lock();
	long result = syscall(number, a, b, c, d, e, f);
	int error = errno;
	serving++;
	errno = error;
	return result;
}

void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return (void *)locked(SYS_mmap, (long)at, bytes, prot, flags, fd, offset);
}

int munmap(void *at, size_t bytes)
{
	return locked(SYS_munmap, (long)at, bytes, 0, 0, 0, 0);
}

int mprotect(void *at, size_t bytes, int prot)
{
	return locked(SYS_mprotect, (long)at, bytes, prot, 0, 0, 0);
}

int madvise(void *at, size_t bytes, int advice)
{
	return locked(SYS_madvise, (long)at, bytes, advice, 0, 0, 0);
}

void *mremap(void *at, size_t bytes, size_t wanted, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	void *onto = va_arg(more, void *); /* garbage without MREMAP_FIXED, and ignored */
	va_end(more);
	return (void *)locked(SYS_mremap, (long)at, bytes, wanted, flags, (long)onto, 0);
}

int prctl(int option, ...)
{
	va_list more;
	va_start(more, option);
	long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long), d = va_arg(more, long);
	va_end(more);
	return locked(SYS_prctl, option, a, b, c, d, 0);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *with)
{
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		dlsym(RTLD_NEXT, "pthread_create");
	racing = 1;
	return create(thread, attributes, run, with);
}

/* The faults, each in the text of a call that has the first VMA's line; the bytes that are left. */
static long tampered(const char *fault, char *text, long got)
{
	static char old[1 << 14];
	static long calls;
	char *line = memmem(text, got, FIRST, strlen(FIRST));
	char *end = line ? memchr(line, '\n', text + got - line) : NULL;
	char *after = end ? memchr(end + 1, '\n', text + got - end - 1) : NULL;
	if (!after)
		return got;
	end++, after++;
	if (!strcmp(fault, "hole")) { /* the line is left out */
		memmove(line, end, text + got - end);
		return got - (end - line);
	}
	if (!strcmp(fault, "unknown"))
		memcpy(memchr(line, ' ', end - line), " -wxs", 5);
	if (!strcmp(fault, "malformed"))
		*(char *)memchr(line, '-', end - line) = '?';
	if (!strcmp(fault, "disorder")) { /* the first line comes again after the second */
		long length = end - line;
		memmove(after + length, after, text + got - after);
		memcpy(after, line, length);
		return got + length;
	}
	if (!strcmp(fault, "stale")) { /* the second line is that of 50 reads ago */
		static char kept[50][256];
		char *then = kept[calls++ % 50];
		memcpy(old, then, sizeof(kept[0]));
		memset(then, 0, sizeof(kept[0]));
		memcpy(then, end, after - end);
		if (calls > 50 && (long)strlen(old) == after - end)
			memcpy(end, old, after - end);
	}
	return strcmp(fault, "truncated") ? got : end - text;
}

ssize_t pread(int fd, void *text, size_t bytes, off_t offset)
{
	const char *fault = getenv("FAULT");
	long got = locked(SYS_pread64, fd, (long)text, bytes, offset, 0, 0);
	if (!fault || !racing || got <= 0)
		return got;
	if (!strcmp(fault, "truncated") && offset > 0)
		return 0;
	return tampered(fault, text, got);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list more;
	va_start(more, request);
	unsigned long *query = va_arg(more, unsigned long *);
	va_end(more);
	const char *fault = getenv("FAULT");
	long result = locked(SYS_ioctl, fd, request, (long)query, 0, 0, 0);
	if (!fault || !racing || result)
		return result;
	if (!strcmp(fault, "hole") && query[3] == 1ul << 36)
		return errno = ENOENT, -1;
	if (!strcmp(fault, "unknown"))
		query[5] = 0xf; /* shared, and all that may be done with it */
	return result;
}
