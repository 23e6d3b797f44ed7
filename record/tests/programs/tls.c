/*
 * TLS with itself, through the libssl it is linked with. The prototypes are OpenSSL's own, since 1.1.1; no headers needed.
 *
 *   probe pair MS            a forked server and a client, by socket: one HTTP request and answer, MS ms after the start
 *   probe storm THREADS N    each thread N times: a write and a read in memory, and a file opened and closed
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct bio_st BIO;
SSL_CTX *SSL_CTX_new(const void *method);
const void *TLS_method(void);
int SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *list);
long SSL_CTX_ctrl(SSL_CTX *ctx, int command, long larg, void *parg);
SSL *SSL_new(SSL_CTX *ctx);
int SSL_set_fd(SSL *ssl, int fd);
void SSL_set_bio(SSL *ssl, BIO *rbio, BIO *wbio);
void SSL_set_connect_state(SSL *ssl);
void SSL_set_accept_state(SSL *ssl);
int SSL_do_handshake(SSL *ssl);
int SSL_read(SSL *ssl, void *buf, int num);
int SSL_write(SSL *ssl, const void *buf, int num);
int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes);
int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *written);
int BIO_new_bio_pair(BIO **bio1, size_t writebuf1, BIO **bio2, size_t writebuf2);

static const char request[] = "GET /first HTTP/1.1\r\nHost: probe.test\r\n\r\n";
static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";

static void need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "%s failed\n", what);
		_exit(1);
	}
}

/* Anonymous key exchange of TLS 1.2: without certificates. */
static SSL *new_ssl(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	need(ctx && SSL_CTX_set_cipher_list(ctx, "AECDH:@SECLEVEL=0"), "SSL_CTX_set_cipher_list");
	SSL_CTX_ctrl(ctx, 124 /* SSL_CTRL_SET_MAX_PROTO_VERSION */, 0x0303, NULL);
	return SSL_new(ctx);
}

static int pair(int ms)
{
	char buf[256];
	int fds[2], status;
	pid_t server;
	SSL *ssl;

	need(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
	server = fork();
	ssl = new_ssl();
	SSL_set_fd(ssl, fds[server == 0]);
	usleep(ms * 1000);
	if (!server) {
		SSL_set_accept_state(ssl);
		need(SSL_read(ssl, buf, sizeof(buf)) == sizeof(request) - 1 && !memcmp(buf, request, sizeof(request) - 1),
		     "the server's SSL_read");
		need(SSL_write(ssl, answer, sizeof(answer) - 1) == sizeof(answer) - 1, "the server's SSL_write");
		return 0;
	}
	SSL_set_connect_state(ssl);
	need(SSL_write(ssl, request, sizeof(request) - 1) == sizeof(request) - 1, "SSL_write");
	need(SSL_read(ssl, buf, sizeof(buf)) == sizeof(answer) - 1, "SSL_read");
	need(waitpid(server, &status, 0) == server && status == 0, "the server");
	printf("{\"client\":%d,\"client_fd\":%d,\"server\":%d,\"server_fd\":%d}\n", getpid(), fds[0], server, fds[1]);
	return 0;
}

static int calls;

static void *storm(void *number)
{
	char text[64], got[64];
	SSL *client = new_ssl(), *server = new_ssl();
	size_t written, read;
	BIO *near, *far;
	int i, len;

	need(BIO_new_bio_pair(&near, 0, &far, 0), "BIO_new_bio_pair");
	SSL_set_bio(client, near, near);
	SSL_set_bio(server, far, far);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (i = 0; i < 20 && !(SSL_do_handshake(client) == 1 && SSL_do_handshake(server) == 1); i++)
		SSL_do_handshake(server);
	need(i < 20, "the handshake");
	for (i = 0; i < calls; i++) {
		len = snprintf(text, sizeof(text), "thread %ld call %d", (long)number, i);
		need(SSL_write_ex(client, text, len, &written) && written == (size_t)len, "SSL_write_ex");
		need(SSL_read_ex(server, got, sizeof(got), &read) && read == (size_t)len && !memcmp(got, text, len),
		     "SSL_read_ex");
		close(open("/dev/null", O_RDONLY));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	long i, count;

	if (argc == 3 && !strcmp(argv[1], "pair"))
		return pair(atoi(argv[2]));
	need(argc == 4 && !strcmp(argv[1], "storm") && atoi(argv[2]) <= 64, "the arguments");
	count = atoi(argv[2]);
	calls = atoi(argv[3]);
	for (i = 0; i < count; i++)
		need(!pthread_create(&threads[i], NULL, storm, (void *)i), "pthread_create");
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
