/* Writes down what a process does to one SQLite file and its log, so that a power cut can be made of it:
 * what was written is on the disk once a sync that began later has ended, and before that perhaps, or in part.
 * Loaded with LD_PRELOAD; POWER_FILE names the database, POWER_LOG where it is written down. tests/chaos/power.py
 * reads it. What is about to be written is noted first: whoever is killed between the two may have written what
 * others then build upon, and a disk that has not written it is a disk like any other.
 * A record is one append, so that those of several processes do not mix:
 * 16 bytes of mark, kind, file (0 database, 1 log), the writer's id (8 bytes), offset (8), length (8), bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char MARK[] = "\x8f\xa1tollgate-pow\xfe\x01";

static int which(int fd) {
    const char *file = getenv("POWER_FILE");
    char link[64], path[4096];
    if (!file) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return -1;
    path[n] = 0;
    size_t own = strlen(file);
    if (strncmp(path, file, own)) return -1;
    if (!path[own]) return 0;
    return strcmp(path + own, "-wal") ? -1 : 1;
}

static void note(char kind, int file, uint64_t id, uint64_t offset, const void *bytes, uint64_t length) {
    char head[16 + 2 + 24];
    int log = open(getenv("POWER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    memcpy(head, MARK, 16);
    head[16] = kind;
    head[17] = (char)file;
    memcpy(head + 18, &id, 8);
    memcpy(head + 26, &offset, 8);
    memcpy(head + 34, &length, 8);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, bytes ? length : 0}};
    if (log < 0 || writev(log, parts, 2) < 0) abort();
    close(log);
}

static uint64_t writer(void) {
    static __thread uint64_t count;
    return ((uint64_t)syscall(SYS_gettid) << 32) | (++count & 0xffffffff);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    int file = which(fd);
    if (file >= 0) note('w', file, 0, offset, bytes, length);
    return real(fd, bytes, length, offset);
}

int ftruncate64(int fd, off64_t length) {
    static int (*real)(int, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "ftruncate64");
    int file = which(fd);
    if (file >= 0) note('t', file, 0, length, NULL, 0);
    return real(fd, length);
}

static int synced(int fd, int (*real)(int)) {
    int file = which(fd);
    uint64_t id = writer();
    if (file >= 0) note('b', file, id, 0, NULL, 0);
    int done = real(fd);
    if (file >= 0 && !done) note('e', file, id, 0, NULL, 0);
    return done;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    return synced(fd, real);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return synced(fd, real);
}
