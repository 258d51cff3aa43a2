/* Faults of disks and networks, put between a process and its libc by LD_PRELOAD.
 *
 * Everything that a process changes below one folder, by whichever library, is counted: files that are opened to be
 * written, writes, names that are given, moved and taken away, what is flushed; and what is sent to one port. From the
 * operation on that is asked for, one thing goes wrong: the disk is full, the clock jumps, there is no more memory.
 * Nothing is counted before faults_arm() is called.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1, FLUSH = 2, NAME = 4, SEND = 8 };
enum { COUNT, KILL, FULL, BROKEN, READ_ONLY, END, CUT, DAY_ON, DAY_BACK, MEMORY };

static char under[PATH_MAX];
static size_t under_length;
static long from;
static int what, told = -1, port;
static atomic_long counted;
static atomic_int spent;
static atomic_long shifted; /* seconds by which the clock has jumped */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Begin to count: below a folder, or to a port; from the nth operation on, something goes wrong. */
void faults_arm(const char *folder, int to_port, long nth, int which, int log_to) {
    strncpy(under, folder, sizeof under - 1);
    port = to_port, from = nth, what = which, told = log_to;
    atomic_store(&counted, 0), atomic_store(&spent, 0);
    under_length = strlen(under);
}

/* From now on the process gets no more memory than it has. */
static void no_more_memory(void) {
    long pages = 0;
    FILE *told_by = REAL(fopen)("/proc/self/statm", "r");
    if (!told_by || fscanf(told_by, "%ld", &pages) != 1) pages = 0;
    if (told_by) fclose(told_by);
    rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    struct rlimit most = {now, now};
    if (now) setrlimit(RLIMIT_AS, &most);
}

static int strike(int kind, const char *name, const char *path) {
    long n = atomic_fetch_add(&counted, 1) + 1;
    if (told >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", n, name, path);
        REAL(write)(told, line, (size_t)length);
    }
    if (what == COUNT || n < from) return 0;
    switch (what) {
        case KILL: kill(getpid(), SIGKILL); pause(); return 0;
        case END: if (!atomic_exchange(&spent, 1)) kill(getpid(), SIGTERM); return 0;
        case FULL: return kind & ROOM ? ENOSPC : 0;
        case READ_ONLY: return kind & (ROOM | NAME) ? EROFS : 0;
        case BROKEN: return kind & (ROOM | FLUSH) && !atomic_exchange(&spent, 1) ? EIO : 0;
        case CUT: return kind & SEND ? ECONNRESET : 0;
        case MEMORY: if (!atomic_exchange(&spent, 1)) no_more_memory(); return 0;
        case DAY_ON: atomic_store(&shifted, 86400); return 0;
        case DAY_BACK: atomic_store(&shifted, -86400); return 0;
        default: return 0;
    }
}

static int below(const char *path) {
    return !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

static int of_descriptor(int fd, char *found) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, found, PATH_MAX - 1);
    if (length < 0) return 0;
    found[length] = 0;
    return below(found);
}

static int at_path(int kind, const char *name, int folder, const char *path) {
    if (!under_length || !path) return 0;
    int before = errno, error = 0;
    char whole[2 * PATH_MAX], base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; }
        else of_descriptor(folder, base);
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    if (below(whole)) error = strike(kind, name, whole);
    errno = error ? error : before;
    return error;
}

static int at_descriptor(int kind, const char *name, int fd) {
    if (!under_length) return 0;
    int before = errno, error = 0;
    char path[PATH_MAX];
    if (of_descriptor(fd, path)) error = strike(kind, name, path);
    errno = error ? error : before;
    return error;
}

static int at_socket(const char *name, int fd) {
    if (!port) return 0;
    int before = errno, error = 0;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (!getpeername(fd, (struct sockaddr *)&peer, &length) && peer.sin_family == AF_INET && ntohs(peer.sin_port) == port)
        error = strike(SEND, name, "");
    if (error) shutdown(fd, SHUT_RDWR);
    errno = error ? error : before;
    return error;
}

static int opens(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }
static int kind_of(int flags) { return flags & (O_CREAT | O_TRUNC) ? ROOM | NAME : NAME; }

#define OPEN(name)                                                                      \
    int name(const char *path, int flags, ...) {                                        \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (opens(flags) && at_path(kind_of(flags), "open", AT_FDCWD, path)) return -1; \
        return REAL(name)(path, flags, mode);                                           \
    }
OPEN(open) OPEN(open64)
#define OPENAT(name)                                                                    \
    int name(int folder, const char *path, int flags, ...) {                            \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (opens(flags) && at_path(kind_of(flags), "open", folder, path)) return -1;   \
        return REAL(name)(folder, path, flags, mode);                                   \
    }
OPENAT(openat) OPENAT(openat64)

#define STREAM(name)                                                                    \
    FILE *name(const char *path, const char *mode) {                                    \
        if (strpbrk(mode, "wa+") && at_path(ROOM | NAME, "open", AT_FDCWD, path)) return NULL; \
        return REAL(name)(path, mode);                                                  \
    }
STREAM(fopen) STREAM(fopen64)

#define AT_FD(type, name, kind, declared, given)                                        \
    type name declared {                                                                \
        if (at_descriptor(kind, #name, fd)) return -1;                                  \
        return REAL(name) given;                                                        \
    }
AT_FD(ssize_t, pwrite, ROOM, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
AT_FD(ssize_t, pwrite64, ROOM, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
AT_FD(ssize_t, writev, ROOM, (int fd, const struct iovec *v, int n), (fd, v, n))
AT_FD(int, fsync, FLUSH, (int fd), (fd))
AT_FD(int, fdatasync, FLUSH, (int fd), (fd))
AT_FD(int, ftruncate, ROOM, (int fd, off_t n), (fd, n))
AT_FD(int, ftruncate64, ROOM, (int fd, off64_t n), (fd, n))
AT_FD(int, fallocate, ROOM, (int fd, int m, off_t o, off_t n), (fd, m, o, n))

ssize_t write(int fd, const void *bytes, size_t count) {
    if (at_descriptor(ROOM, "write", fd) || at_socket("write", fd)) return -1;
    return REAL(write)(fd, bytes, count);
}
ssize_t sendfile64(int fd, int source, off64_t *offset, size_t count);
AT_FD(ssize_t, sendfile64, ROOM, (int fd, int s, off64_t *o, size_t n), (fd, s, o, n))
ssize_t sendfile(int fd, int source, off_t *offset, size_t count);
AT_FD(ssize_t, sendfile, ROOM, (int fd, int s, off_t *o, size_t n), (fd, s, o, n))
ssize_t copy_file_range(int source, off64_t *from_at, int fd, off64_t *to_at, size_t count, unsigned flags) {
    if (at_descriptor(ROOM, "copy_file_range", fd)) return -1;
    return REAL(copy_file_range)(source, from_at, fd, to_at, count, flags);
}
ssize_t send(int fd, const void *bytes, size_t count, int flags) {
    if (at_socket("send", fd)) return -1;
    return REAL(send)(fd, bytes, count, flags);
}

#define AT_PATH(name, kind, folder, declared, given)                                    \
    int name declared {                                                                 \
        if (at_path(kind, #name, folder, path)) return -1;                              \
        return REAL(name) given;                                                        \
    }
AT_PATH(rename, NAME, AT_FDCWD, (const char *from_path, const char *path), (from_path, path))
AT_PATH(renameat, NAME, folder, (int f, const char *p, int folder, const char *path), (f, p, folder, path))
AT_PATH(renameat2, NAME, folder, (int f, const char *p, int folder, const char *path, unsigned g), (f, p, folder, path, g))
AT_PATH(unlink, NAME, AT_FDCWD, (const char *path), (path))
AT_PATH(unlinkat, NAME, folder, (int folder, const char *path, int flags), (folder, path, flags))
AT_PATH(rmdir, NAME, AT_FDCWD, (const char *path), (path))
AT_PATH(mkdir, ROOM | NAME, AT_FDCWD, (const char *path, mode_t mode), (path, mode))
AT_PATH(mkdirat, ROOM | NAME, folder, (int folder, const char *path, mode_t mode), (folder, path, mode))

int clock_gettime(clockid_t which, struct timespec *found) {
    int failed = REAL(clock_gettime)(which, found);
    if (!failed && which == CLOCK_REALTIME) found->tv_sec += atomic_load(&shifted);
    return failed;
}
time_t time(time_t *found) {
    time_t now = REAL(time)(NULL) + atomic_load(&shifted);
    if (found) *found = now;
    return now;
}
