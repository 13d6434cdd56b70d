/* An HTTP server in one static binary: answers every request with its host's name and how often it was asked. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number) {
    (void)number;
    ended = 1;
}

int main(int count, char **words) {
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(words[1]) : 8080)};
    int listening = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listening, (struct sockaddr *)&any, sizeof any) || listen(listening, 64)) {
        perror("listen");
        return 1;
    }
    char host[256] = "", request[4096], body[512], answer[1024];
    gethostname(host, sizeof host - 1);
    printf("listening\n");
    fflush(stdout);
    for (unsigned long asked = 1; !ended; asked++) {
        int client = accept(listening, NULL, NULL);
        if (client < 0)
            continue;
        struct timeval patience = {.tv_sec = 2};
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (read(client, request, sizeof request) > 0) {
            int size = snprintf(body, sizeof body, "hello from %s, request %lu\n", host, asked);
            int whole = snprintf(answer, sizeof answer,
                                 "HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s", size, body);
            if (write(client, answer, whole) < 0)
                perror("write");
        }
        close(client);
    }
    printf("ended\n");
    return 0;
}
