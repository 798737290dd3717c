/* A shim for LD_PRELOAD that records what a process does to the files of one folder, and makes
 * operations fail on request. Linux, 64 bit.
 *
 * Off until recorder_start(folder, log); or set RECORDER_FOLDER, and RECORDER_LOG where wanted, in
 * the environment. RECORDER_FAULT="write:3:28:1" is recorder_fault(WRITE_FAULT, 3, 28, 1).
 * One record is a struct record and `size` bytes of data, in the byte order of the machine. One
 * lock is held over the operation and its record: their orders are the same. Only successful
 * operations are recorded, and failed syncs. An operation that the reader of the log cannot model
 * is recorded as UNKNOWN, never passed over. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, SYNC_FAILED, UNLINK, RENAME, MKDIR, MARK, UNKNOWN,
       SYMLINK, LINK };
enum { WRITE_FAULT = 1, SYNC_FAULT, OPEN_FAULT };
enum { DESCRIPTORS = 65536 };

struct record { int32_t kind, fd; int64_t a, b; uint64_t size; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_length;
static int log_fd = -1;
static char tracked[DESCRIPTORS];
static int fault_kind, fault_countdown, fault_errno, fault_stays, faults_made;

static void record(int kind, int fd, int64_t a, int64_t b, const void *data, size_t size) {
    struct record head = {kind, fd, a, b, size};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, size}};
    int kept = errno;
    if (log_fd >= 0 && syscall(SYS_writev, log_fd, parts, 2) != (long)(sizeof head + size)) abort();
    errno = kept;
}

static void unknown(const char *name) { record(UNKNOWN, -1, 0, 0, name, strlen(name)); }

static int is_tracked(int fd) { return fd >= 0 && fd < DESCRIPTORS && tracked[fd]; }

/* Whether the operation that is about to run shall fail; sets errno. */
static int fails(int kind) {
    if (fault_kind != kind || fault_countdown == 0) return 0;
    if (fault_countdown > 1) { fault_countdown--; return 0; }
    if (!fault_stays) fault_countdown = 0;
    faults_made++;
    errno = fault_errno;
    return 1;
}

/* The path without "." or symbolic links resolved, or 0 where it is not in the folder. */
static int inside(int at, const char *path, char *full) {
    char link[64];
    full[0] = 0;
    if (folder_length == 0 || path == NULL) return 0;
    if (path[0] != '/') {
        if (at == AT_FDCWD) { if (getcwd(full, PATH_MAX) == NULL) return 0; }
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            long length = readlink(link, full, PATH_MAX - 1);
            if (length < 0) return 0;
            full[length] = 0;
        }
        strncat(full, "/", PATH_MAX - strlen(full) - 1);
    }
    strncat(full, path, PATH_MAX - strlen(full) - 1);
    return !strncmp(full, folder, folder_length)
        && (full[folder_length] == '/' || full[folder_length] == 0);
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (!inside(at, path, full)) return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = syscall(SYS_faccessat, AT_FDCWD, full, F_OK) == 0;
    int fd = (flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails(OPEN_FAULT)
        ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        tracked[fd] = 1;
        record(OPEN, fd, flags & O_TRUNC ? 1 : 0, existed, full, strlen(full));
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, last) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) {
    MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int at, const char *path, int flags, ...) {
    MODE(flags, flags) return opened(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE(flags, flags) return opened(at, path, flags | O_LARGEFILE, mode);
}
int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd) {
    if (!is_tracked(fd)) return syscall(SYS_close, fd);
    pthread_mutex_lock(&lock);
    record(CLOSE, fd, 0, 0, NULL, 0);
    tracked[fd] = 0;
    int result = syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* One buffer at an offset; -1 is the position of the descriptor. */
static ssize_t written(int fd, const void *data, size_t size, int64_t offset) {
    int here = offset < 0;
    if (!is_tracked(fd))
        return here ? syscall(SYS_write, fd, data, size)
                    : syscall(SYS_pwrite64, fd, data, size, offset);
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    if (!fails(WRITE_FAULT)) {
        struct stat about;
        int flags = fcntl(fd, F_GETFL);
        if (flags & O_APPEND) { fstat(fd, &about); offset = about.st_size; }
        else if (here) offset = lseek(fd, 0, SEEK_CUR);
        done = here ? syscall(SYS_write, fd, data, size)
                    : syscall(SYS_pwrite64, fd, data, size, offset);
        if (done > 0) record(WRITE, fd, offset, 0, data, done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    return written(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    return written(fd, data, size, offset);
}

/* A short count is legal: the caller goes on with the rest. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_tracked(fd)) return syscall(SYS_writev, fd, parts, count);
    while (count > 1 && parts->iov_len == 0) { parts++; count--; }
    return written(fd, parts->iov_base, parts->iov_len, -1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (!is_tracked(fd)) return syscall(SYS_pwritev, fd, parts, count, offset, 0);
    while (count > 1 && parts->iov_len == 0) { parts++; count--; }
    return written(fd, parts->iov_base, parts->iov_len, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return pwritev(fd, parts, count, offset);
}

int ftruncate(int fd, off_t size) {
    if (!is_tracked(fd)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0) record(TRUNCATE, fd, size, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int synced(int fd, long number) {
    if (!is_tracked(fd)) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    int result = fails(SYNC_FAULT) ? -1 : (int)syscall(number, fd);
    record(result == 0 ? SYNC : SYNC_FAILED, fd, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int removed(int at, const char *path, int flags) {
    char full[PATH_MAX];
    if (!inside(at, path, full)) return syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT) ? -1 : (int)syscall(SYS_unlinkat, at, path, flags);
    if (result == 0) record(UNLINK, -1, 0, 0, full, strlen(full));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char both[2 * PATH_MAX + 1], target[PATH_MAX];
    int one = inside(from_at, from, both), two = inside(to_at, to, target);
    if (!one && !two) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT)
        ? -1 : (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (result == 0) {
        size_t first = strlen(both) + 1;
        strcpy(both + first, target);
        if (flags || !one || !two) unknown("rename");
        else record(RENAME, -1, 0, 0, both, first + strlen(target));
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!inside(at, path, full)) return syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT) ? -1 : (int)syscall(SYS_mkdirat, at, path, mode);
    if (result == 0) record(MKDIR, -1, 0, 0, full, strlen(full));
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int at, const char *path) {
    char both[2 * PATH_MAX + 1];
    if (!inside(at, path, both)) return syscall(SYS_symlinkat, target, at, path);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT) ? -1 : (int)syscall(SYS_symlinkat, target, at, path);
    if (result == 0) {
        size_t first = strlen(both) + 1, second = strlen(target);
        memcpy(both + first, target, second);
        record(SYMLINK, -1, 0, 0, both, first + second);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char both[2 * PATH_MAX + 1], target[PATH_MAX];
    int one = inside(from_at, from, both), two = inside(to_at, to, target);
    if (!two) return syscall(SYS_linkat, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result = fails(WRITE_FAULT)
        ? -1 : (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
    if (result == 0) {
        size_t first = strlen(both) + 1;
        strcpy(both + first, target);
        if (flags || !one) unknown("link");
        else record(LINK, -1, 0, 0, both, first + strlen(target));
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* What nothing here is expected to do; seen all the same. */
#define SEEN(fd, name) if (is_tracked(fd)) { \
    pthread_mutex_lock(&lock); unknown(name); pthread_mutex_unlock(&lock); }

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    if ((flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE) SEEN(fd, "mmap")
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    return mmap(address, size, protection, flags, fd, offset);
}
int fallocate(int fd, int mode, off_t offset, off_t size) {
    SEEN(fd, "fallocate")
    return syscall(SYS_fallocate, fd, mode, offset, size);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    return fallocate(fd, mode, offset, size);
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    return fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    return posix_fallocate(fd, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    SEEN(to, "sendfile")
    return syscall(SYS_sendfile, to, from, offset, size);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    return sendfile(to, from, offset, size);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    SEEN(to, "copy_file_range")
    return syscall(SYS_copy_file_range, from, a, to, b, size, flags);
}
/* The application's own words in the log. */
void recorder_mark(int64_t number) {
    pthread_mutex_lock(&lock);
    record(MARK, -1, number, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* The n-th write (also truncate, unlink, rename, mkdir, link), sync or open for writing from now
 * on fails with `number`; `stays`: every later one of its kind too. n = 0 ends it. Gives the faults
 * made so far. */
int recorder_fault(int kind, int n, int number, int stays) {
    pthread_mutex_lock(&lock);
    int made = faults_made;
    fault_kind = kind;
    fault_countdown = n;
    fault_errno = number;
    fault_stays = stays;
    faults_made = 0;
    pthread_mutex_unlock(&lock);
    return made;
}

/* Begin; `path` is absolute and free of symbolic links; `log` may be NULL. Gives 0 or errno. */
int recorder_start(const char *path, const char *log) {
    int result = 0;
    pthread_mutex_lock(&lock);
    memset(tracked, 0, sizeof tracked);
    if (log != NULL) {
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC,
                         0600);
        if (log_fd < 0) result = errno;
    }
    snprintf(folder, sizeof folder, "%s", path);
    folder_length = result == 0 ? strlen(folder) : 0;
    pthread_mutex_unlock(&lock);
    return result;
}

/* End; files that are still open are let go. */
void recorder_stop(void) {
    pthread_mutex_lock(&lock);
    folder_length = 0;
    memset(tracked, 0, sizeof tracked);
    if (log_fd >= 0) syscall(SYS_close, log_fd);
    log_fd = -1;
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void from_environment(void) {
    const char *path = getenv("RECORDER_FOLDER"), *fault = getenv("RECORDER_FAULT");
    char kind[8];
    int n, number, stays;
    if (path == NULL) return;
    if (recorder_start(path, getenv("RECORDER_LOG")) != 0) abort();
    if (fault != NULL && sscanf(fault, "%7[a-z]:%d:%d:%d", kind, &n, &number, &stays) == 4)
        recorder_fault(!strcmp(kind, "write") ? WRITE_FAULT
                       : !strcmp(kind, "sync") ? SYNC_FAULT : OPEN_FAULT, n, number, stays);
}
