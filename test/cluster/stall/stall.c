// A disk that stalls, for the tests of faults: preloaded into a member, it holds every sync and every write at an
// offset (what the log and LMDB use) as long as the file exists that NETCD_TEST_STALL names. Nothing else changes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *stalled_while;

__attribute__((constructor)) static void begin(void) { stalled_while = getenv("NETCD_TEST_STALL"); }

static void wait_for_disk(void) {
  struct timespec pause = {0, 2 * 1000 * 1000};
  while (stalled_while != NULL && access(stalled_while, F_OK) == 0) nanosleep(&pause, NULL);
}

// The next definition of a function is looked up once: libc's.
#define HELD(result, name, parameters, arguments)                    \
  result name parameters {                                           \
    static result(*real) parameters;                                 \
    if (real == NULL) real = (result(*) parameters)dlsym(RTLD_NEXT, #name); \
    wait_for_disk();                                                 \
    return real arguments;                                           \
  }

HELD(int, fsync, (int file), (file))
HELD(int, fdatasync, (int file), (file))
HELD(int, msync, (void *from, size_t bytes, int flags), (from, bytes, flags))
HELD(ssize_t, pwrite, (int file, const void *from, size_t bytes, off_t at), (file, from, bytes, at))
HELD(ssize_t, pwrite64, (int file, const void *from, size_t bytes, off_t at), (file, from, bytes, at))
HELD(ssize_t, pwritev, (int file, const struct iovec *from, int count, off_t at), (file, from, count, at))
HELD(ssize_t, pwritev64, (int file, const struct iovec *from, int count, off_t at), (file, from, count, at))
