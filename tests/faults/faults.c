// Makes the n-th call on a file under $FAULTS_FOLDER go wrong, in a process that was started with LD_PRELOAD.
//
// faults_set(n, action, milliseconds) begins to count anew and plans one thing, faults_add plans one more: the n-th call
// waits so long, and then fails with an error number, or what a negative action says happens. Nothing is synced: what a
// killed process has written is there without it, and a thousand runs would wait for the disk.

#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    HALF = -1, // a write does half of its work, and says so
    KILL = -2, // SIGKILL
    TEAR = -3, // half of a write, then SIGKILL
    STOP = -4, // SIGSTOP
    FULL = -5, // half of a write, and from then on no write can do anything
};

enum { PLANS = 4, CALLS = 1024, FILES = 4096, NAME = 64 };

static struct {
    long n;
    int action, milliseconds;
} plans[PLANS];
static int num_plans;
static atomic_long count;
static atomic_int is_full;
static char calls[CALLS][NAME + 16];
static char names[FILES][NAME]; // What is open under the folder, by descriptor.

#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

void faults_add(long n, int action, int milliseconds) {
    if (num_plans == PLANS) abort();
    plans[num_plans].n = n;
    plans[num_plans].action = action;
    plans[num_plans++].milliseconds = milliseconds;
}

void faults_set(long n, int action, int milliseconds) {
    num_plans = 0;
    is_full = 0;
    count = 0;
    memset(calls, 0, sizeof calls);
    faults_add(n, action, milliseconds);
}

long faults_count(void) {
    return count;
}

// What the n-th call was: its name, a blank, and the file's.
const char *faults_call(long n) {
    return n > 0 && n < CALLS ? calls[n] : "";
}

// The rest of a path behind the folder; NULL for a path that is elsewhere.
static const char *inside(const char *path) {
    const char *folder = getenv("FAULTS_FOLDER");
    size_t len = folder ? strlen(folder) : 0;
    if (len == 0 || strncmp(path, folder, len) != 0) return NULL;
    return path[len] == '/' ? path + len + 1 : path[len] ? NULL : ".";
}

static const char *name_of(int file) {
    return file >= 0 && file < FILES && names[file][0] ? names[file] : NULL;
}

static int opened(int file, const char *name) {
    if (file >= 0 && file < FILES) snprintf(names[file], NAME, "%s", name ? name : "");
    return file;
}

// Counts a call. Returns an error number, which errno is set to, if it must fail; a negative action if it is a write that
// must do half; or 0.
static int meet(const char *call, const char *name, int is_write) {
    if (!name) return 0;
    long n = ++count;
    if (n < CALLS) snprintf(calls[n], sizeof calls[n], "%s %s", call, name);
    if (is_write && is_full) return errno = ENOSPC;
    for (int i = 0; i < num_plans; i++) {
        if (plans[i].n != n) continue;
        int action = plans[i].action;
        struct timespec time = {plans[i].milliseconds / 1000, plans[i].milliseconds % 1000 * 1000000L};
        nanosleep(&time, NULL);
        if (action > 0) return errno = action;
        if (action == KILL) raise(SIGKILL);
        if (action == STOP) raise(SIGSTOP);
        if (is_write && action == FULL) is_full = 1;
        if (is_write && (action == HALF || action == TEAR || action == FULL)) return action;
    }
    return 0;
}

#define FAIL_IF_PLANNED(call, name)                                                                                    \
    if (meet(call, name, 0) > 0) return -1

#define WRITE(call, ...)                                                                                               \
    int met = meet(call, name_of(file), 1);                                                                            \
    if (met > 0) return -1;                                                                                            \
    if (met < 0 && len > 1) len /= 2;                                                                                  \
    ssize_t written = real(file, bytes, len, ##__VA_ARGS__);                                                           \
    if (met == TEAR) raise(SIGKILL);                                                                                   \
    return written

ssize_t write(int file, const void *bytes, size_t len) {
    REAL(write);
    WRITE("write");
}

ssize_t pwrite64(int file, const void *bytes, size_t len, off64_t offset) {
    REAL(pwrite64);
    WRITE("pwrite", offset);
}

ssize_t writev(int file, const struct iovec *parts, int num_parts) {
    REAL(writev);
    if (name_of(file) && num_parts > 0) return write(file, parts->iov_base, parts->iov_len);
    return real(file, parts, num_parts);
}

ssize_t read(int file, void *bytes, size_t len) {
    REAL(read);
    FAIL_IF_PLANNED("read", name_of(file));
    return real(file, bytes, len);
}

off64_t lseek64(int file, off64_t offset, int whence) {
    REAL(lseek64);
    FAIL_IF_PLANNED("lseek", name_of(file));
    return real(file, offset, whence);
}

int ftruncate64(int file, off64_t len) {
    REAL(ftruncate64);
    FAIL_IF_PLANNED("ftruncate", name_of(file));
    return real(file, len);
}

int fsync(int file) {
    REAL(fsync);
    FAIL_IF_PLANNED("fsync", name_of(file));
    return name_of(file) ? 0 : real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    FAIL_IF_PLANNED("fdatasync", name_of(file));
    return name_of(file) ? 0 : real(file);
}

int flock(int file, int operation) {
    REAL(flock);
    FAIL_IF_PLANNED("flock", name_of(file));
    return real(file, operation);
}

int close(int file) {
    REAL(close);
    opened(file, NULL);
    return real(file);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    FAIL_IF_PLANNED("rename", inside(from));
    return real(from, to);
}

int unlink(const char *path) {
    REAL(unlink);
    FAIL_IF_PLANNED("unlink", inside(path));
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    FAIL_IF_PLANNED("mkdir", inside(path));
    return real(path, mode);
}

// The mode is there only if a file may be made.
#define OPEN(...)                                                                                                      \
    mode_t mode = 0;                                                                                                   \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }                                                                                                                  \
    FAIL_IF_PLANNED("open", inside(path));                                                                             \
    return opened(real(__VA_ARGS__, flags, mode), inside(path))

int open(const char *path, int flags, ...) {
    REAL(open);
    OPEN(path);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    OPEN(path);
}

int openat(int folder, const char *path, int flags, ...) {
    REAL(openat);
    OPEN(folder, path);
}

int openat64(int folder, const char *path, int flags, ...) {
    REAL(openat64);
    OPEN(folder, path);
}
