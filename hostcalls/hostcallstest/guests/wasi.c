// The kit's CGI program in C with wasi-libc. PATH_INFO chooses the test.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

__attribute__((import_module("env"), import_name("hostcall_resp_set_body"))) int resp_set_body(int, const char *, size_t);
__attribute__((import_module("env"), import_name("hostcall_resp_set_response_code"))) int resp_set_code(int, int);

#define CHECK(what) do { if (!(what)) { printf("Status: 500\n\nwasi.c:%d: %s (errno %d)\n", __LINE__, #what, errno); exit(0); } } while (0)

static const char *env(const char *name) {
    const char *v = getenv(name);
    return v ? v : "(none)";
}

static void echo(int argc, char **argv) {
    char body[100] = "";
    size_t n = fread(body, 1, sizeof body - 1, stdin);
    printf("Status: 201 Created\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 1\r\n\r\n");
    printf("%d %s\n", argc, argv[0]);
    const char *names[] = {"REQUEST_METHOD", "QUERY_STRING", "PATH_INFO", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "HTTPS",
        "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_X_MANY", "HTTP_COOKIE", "HTTP_PROXY", "HTTP_FASTLY_CLIENT_IP", "HTTP_X_FASTLY_CLIENT_IP", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "GREETING", "GATEWAY_INTERFACE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) printf("%s=%s\n", names[i], env(names[i]));
    printf("%zu %s\n", n, body);
    fprintf(stderr, "to the log\nunfinished");
}

static void files(void) {
    char text[100] = "";
    FILE *f = fopen("/hello.txt", "r");
    CHECK(f && fread(text, 1, sizeof text, f) == 11 && !strcmp(text, "hello, file"));
    CHECK(fseek(f, -4, SEEK_END) == 0 && fread(text, 1, 4, f) == 4 && !memcmp(text, "file", 4) && ftell(f) == 11);
    CHECK(pread(fileno(f), text, 5, 7) == 4 && lseek(fileno(f), 0, SEEK_CUR) == 11);
    fclose(f);
    struct stat s;
    CHECK(stat("/hello.txt", &s) == 0 && S_ISREG(s.st_mode) && s.st_size == 11);
    CHECK(stat("/sub", &s) == 0 && S_ISDIR(s.st_mode));
    CHECK(stat("/absent", &s) == -1 && errno == ENOENT);
    CHECK((f = fopen("/sub/deep.txt", "r")) && fgetc(f) == 'd');
    fclose(f);
    CHECK(!fopen("/new.txt", "w") && errno == EROFS);
    CHECK(!fopen("/hello.txt", "r+") && errno == EROFS);
    CHECK(unlink("/hello.txt") == -1 && errno == EROFS && mkdir("/d", 0777) == -1);
    CHECK(!fopen("/../../etc/passwd", "r") && !fopen("/sub/../../x", "r"));
    DIR *d = opendir("/");
    CHECK(d);
    int hello = 0, sub = 0, all = 0;
    for (struct dirent *e; (e = readdir(d)); all++) {
        hello += !strcmp(e->d_name, "hello.txt") && e->d_type == DT_REG;
        sub += !strcmp(e->d_name, "sub") && e->d_type == DT_DIR;
    }
    closedir(d);
    CHECK(hello == 1 && sub == 1 && all >= 2);
    int fds = 0;
    while (open("/hello.txt", O_RDONLY) >= 0) fds++;
    CHECK(errno == EMFILE && fds > 10 && fds < 1000);
    printf("Content-Type: text/plain\n\nok");
}

static void clocks(void) {
    struct timespec a, b, pause = {0, 20000000};
    CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0 && nanosleep(&pause, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &b) == 0);
    CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= 20000000 && time(NULL) > 1700000000);
    unsigned char r[2][32];
    CHECK(getentropy(r[0], 32) == 0 && getentropy(r[1], 32) == 0 && memcmp(r[0], r[1], 32));
    printf("Content-Type: text/plain\n\nok");
}

int main(int argc, char **argv) {
    const char *path = env("PATH_INFO");
    if (!strcmp(path, "/echo")) echo(argc, argv);
    else if (!strcmp(path, "/files")) files();
    else if (!strcmp(path, "/clocks")) clocks();
    else if (!strcmp(path, "/nofiles")) { CHECK(!fopen("/hello.txt", "r")); printf("Content-Type: text/plain\n\nok"); }
    else if (!strcmp(path, "/redirect")) printf("Location: https://example.com/\n\n");
    else if (!strcmp(path, "/garbage")) printf("hello\nworld\n");
    else if (!strcmp(path, "/split")) printf("X-A: a\rb\nStatus: 99\n\n");
    else if (!strcmp(path, "/code")) printf("Status: 99\n\n");
    else if (!strcmp(path, "/exit0")) { printf("Content-Type: text/plain\n\nok"); exit(0); }
    else if (!strcmp(path, "/exit3")) { printf("Content-Type: text/plain\n\nok"); exit(3); }
    else if (!strcmp(path, "/flood")) { printf("Content-Type: text/plain\n\n"); for (long n = 0; n < 100000000; n += 64) if (printf("%64s", "") < 0 || fflush(stdout)) exit(4); }
    else if (!strcmp(path, "/hostcalls")) { resp_set_code(0, 202); resp_set_body(0, "by hostcall", 11); puts("printed"); }
    else if (!strcmp(path, "/empty")) resp_set_code(0, 200);
    return 0;
}
