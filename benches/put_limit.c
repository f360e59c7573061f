/* The limit of a disk for durable uploads of 1 KiB: the calls that one of noclobber's replacements cannot do without, by sixteen threads and
 * without a server. Each thread replaces files of its own in one folder, and keeps what it replaces in a folder for each file, as the history
 * does: a nameless file is written and synced, linked into the history, exchanged with the old file there, and both folders are synced.
 *
 *   cc -O2 -pthread -o put_limit benches/put_limit.c && ./put_limit FOLDER SECONDS FILES
 *
 * Prints replacements a second, and with `nosync` behind the arguments the same without syncing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 16, BYTES = 1024 };

static int folder, history, files, syncs = 1;
static double until;
static long counts[THREADS];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void must(int done, const char *what) {
    if (done < 0) {
        perror(what);
        exit(1);
    }
}

static void sync_it(int file) {
    if (syncs) must(fsync(file), "fsync");
}

static void replace(const char *name, long round) {
    char bytes[BYTES], link[64], entry[64];
    memset(bytes, 'x', sizeof bytes);
    int staged = openat(folder, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0644);
    must(staged, "a nameless file");
    must(pwrite(staged, bytes, sizeof bytes, 0), "pwrite");
    sync_it(staged);
    mkdirat(history, name, 0700);
    int versions = openat(history, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(versions, "the history");
    snprintf(link, sizeof link, "/proc/self/fd/%d", staged);
    snprintf(entry, sizeof entry, "%ld-%d", round, (int)getpid());
    must(linkat(AT_FDCWD, link, versions, entry, AT_SYMLINK_FOLLOW), "linkat");
    if (renameat2(versions, entry, folder, name, RENAME_EXCHANGE) < 0) {
        /* The first version of a name. */
        must(renameat2(versions, entry, folder, name, RENAME_NOREPLACE), "renameat2");
    }
    sync_it(versions);
    sync_it(folder);
    close(versions);
    close(staged);
}

static void *work(void *argument) {
    long thread = (long)argument;
    char name[64];
    for (long round = 0; now() < until; round++) {
        snprintf(name, sizeof name, "%ld-%ld", thread, round % (files / THREADS));
        replace(name, round);
        counts[thread]++;
    }
    return NULL;
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "put_limit FOLDER SECONDS FILES [nosync]\n");
        return 2;
    }
    double seconds = atof(words[2]);
    files = atoi(words[3]);
    syncs = count == 4;
    must(chdir(words[1]), words[1]);
    mkdir("put", 0755);
    mkdir("history", 0700);
    folder = open("put", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    history = open("history", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(folder, "put");
    must(history, "history");
    until = now() + seconds;
    pthread_t threads[THREADS];
    for (long thread = 0; thread < THREADS; thread++) pthread_create(&threads[thread], NULL, work, (void *)thread);
    long all = 0;
    for (int thread = 0; thread < THREADS; thread++) {
        pthread_join(threads[thread], NULL);
        all += counts[thread];
    }
    printf("%.0f\n", all / seconds);
    return 0;
}
