/* A TensorFlow Lite delegate that does what a hostile model might do once it runs code. The option
 * "do" names it; what the kernel answered is reported in the error text: "0", or errno's number. It
 * does so only where the file of the option "slot" can be read: beside the candidate, not the live
 * model. It never takes a model, so that both go on with the next delegate. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char said[512] = "kernel: ";

static void tell(const char *what, long result) {
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s=%d ", what, result < 0 ? errno : 0);
}

static void *idle(void *unused) { return unused; }

static void try_network(void) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(80)};
    int made = socket(AF_INET, SOCK_STREAM, 0);
    tell("inet", made);
    tell("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("packet", socket(AF_PACKET, SOCK_RAW, 0));
    tell("connect", connect(made, (void *)&there, sizeof there));
}

static void try_files(const char *path) {
    tell("create", open(path, O_WRONLY | O_CREAT, 0600));
    tell("mkdir", mkdir(path, 0700));
    tell("chmod", chmod(path, 0777));
    tell("unlink", unlink(path));
    tell("rename", rename(path, "/tmp/elsewhere"));
    tell("truncate", truncate(path, 0));
    tell("read", open(path, O_RDONLY));
    tell("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
}

static void try_processes(void) {
    struct rlimit more = {1 << 20, 1 << 20};
    char *words[] = {"/bin/true", NULL};
    pthread_t thread;
    pid_t made = fork();
    if (!made) _exit(0);
    tell("fork", made);
    tell("ptrace", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
    tell("kill", kill(getppid(), 0));
    tell("limit", prlimit(getppid(), RLIMIT_NOFILE, &more, NULL));
    tell("ring", syscall(SYS_io_uring_setup, 1, NULL));
    tell("thread", pthread_create(&thread, NULL, idle, NULL) ? -1 : 0);
    tell("exec", execv(words[0], words));
}

/* Its own, which no right but the filter keeps it from; so it is with others' of the same user. */
static void try_priorities(void) {
    struct sched_param idle_one = {0};
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    tell("nice", setpriority(PRIO_PROCESS, getpid(), 19));
    tell("scheduler", sched_setscheduler(getpid(), SCHED_IDLE, &idle_one));
    tell("affinity", sched_setaffinity(getpid(), sizeof first, &first));
    tell("own_affinity", sched_setaffinity(0, sizeof first, &first));
    tell("outlive", prctl(PR_SET_PDEATHSIG, 0));
    tell("outlive_32", syscall(SYS_prctl, 1L << 32 | PR_SET_PDEATHSIG, 0));
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                    void (*report)(const char *)) {
    const char *act = "", *path = "/nowhere/file", *slot = "";
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "do")) act = values[i];
        if (!strcmp(keys[i], "path")) path = values[i];
        if (!strcmp(keys[i], "slot")) slot = values[i];
    }
    int there = open(slot, O_RDONLY); /* access() is none of Landlock's */
    if (there < 0) act = "";
    close(there);
    if (!strcmp(act, "network")) try_network();
    if (!strcmp(act, "files")) try_files(path);
    if (!strcmp(act, "processes")) try_processes();
    if (!strcmp(act, "priorities")) try_priorities();
    if (!strcmp(act, "segv")) raise(SIGSEGV);
    if (!strcmp(act, "abort")) abort();
    if (!strcmp(act, "exit")) _exit(0);
    if (!strcmp(act, "kill")) raise(SIGKILL);
    if (!strcmp(act, "spin")) for (;;) ;
    if (!strcmp(act, "sleep")) for (;;) sleep(60);
    if (!strcmp(act, "memory")) for (char *more; (more = malloc(1 << 24));) memset(more, 1, 1 << 24);
    report(said);
    return NULL;
}

void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
