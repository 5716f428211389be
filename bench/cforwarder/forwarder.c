/* Request-reply over libzmq as a C programmer would have it: a forwarder with
 * one ROUTER socket between DEALERs, and a client and a worker for it. The first
 * argument is the role, then come the broker's address, the client's number of
 * sockets and the worker's.
 *
 * A process says "ready ADDRESS" and ends when its standard input does. A client
 * is told "measure SIZE INFLIGHT WARMUP DURATION PID..." (ns) and answers "sample
 * CALLS ELAPSED CPU P50 P99" (ns), as every process of the benchmark does. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { MAX_SOCKETS = 1024, MAX_WORKERS = 1024, MAX_ID = 256, MAX_PIDS = 8 };

static void die(const char *what) {
	printf("error %s: %s\n", what, zmq_strerror(zmq_errno()));
	fflush(stdout);
	exit(1);
}

static void ready(const char *address) {
	printf("ready %s\n", address);
	fflush(stdout);
}

static void *open_socket(void *context, int type) {
	int zero = 0;
	void *s = zmq_socket(context, type);
	if (!s || zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero) || zmq_setsockopt(s, ZMQ_SNDHWM, &zero, sizeof zero) ||
	    zmq_setsockopt(s, ZMQ_RCVHWM, &zero, sizeof zero))
		die("socket");
	return s;
}

static void *connect_socket(void *context, const char *address) {
	void *s = open_socket(context, ZMQ_DEALER);
	if (zmq_connect(s, address))
		die("connect");
	return s;
}

/* receive returns 0 where there is nothing to receive. */
static int receive(zmq_msg_t *m, void *s) {
	while (zmq_msg_recv(m, s, ZMQ_DONTWAIT) < 0) {
		if (zmq_errno() == EAGAIN)
			return 0;
		if (zmq_errno() != EINTR)
			die("receive");
	}
	return 1;
}

/* send_frame takes the frame. A ROUTER drops what is for a peer that is gone. */
static void send_frame(zmq_msg_t *m, void *s, int flags) {
	if (zmq_msg_send(m, s, flags) < 0)
		die("send");
}

/* The broker gets [worker]["R"] from a new worker, [client][body] from a client,
 * which it sends on as [worker][client][body], and [worker][client][body] from a
 * worker. Workers take turns. */
struct id {
	size_t size;
	unsigned char bytes[MAX_ID];
};

static struct id workers[MAX_WORKERS];
static int worker_count, next_worker;

static int is_worker(zmq_msg_t *id) {
	size_t size = zmq_msg_size(id);
	for (int i = 0; i < worker_count; i++)
		if (workers[i].size == size && !memcmp(workers[i].bytes, zmq_msg_data(id), size))
			return 1;
	return 0;
}

static void forward(void *s) {
	zmq_msg_t from, second, body;
	zmq_msg_init(&from);
	zmq_msg_init(&second);
	zmq_msg_init(&body);
	while (receive(&from, s)) {
		if (!zmq_msg_more(&from) || !receive(&second, s))
			die("message of one frame");
		if (zmq_msg_more(&second)) { /* a reply */
			if (!receive(&body, s))
				die("message of two frames");
			if (is_worker(&from)) {
				send_frame(&second, s, ZMQ_SNDMORE);
				send_frame(&body, s, 0);
			}
		} else if (zmq_msg_size(&second) == 1) { /* a new worker */
			if (worker_count < MAX_WORKERS && zmq_msg_size(&from) <= MAX_ID) {
				struct id *w = &workers[worker_count++];
				w->size = zmq_msg_size(&from);
				memcpy(w->bytes, zmq_msg_data(&from), w->size);
			}
		} else if (worker_count > 0) { /* a request */
			struct id *w = &workers[next_worker++ % worker_count];
			zmq_msg_t to;
			zmq_msg_init_size(&to, w->size);
			memcpy(zmq_msg_data(&to), w->bytes, w->size);
			send_frame(&to, s, ZMQ_SNDMORE);
			send_frame(&from, s, ZMQ_SNDMORE);
			send_frame(&second, s, 0);
		}
		zmq_msg_close(&from);
		zmq_msg_close(&second);
		zmq_msg_close(&body);
		zmq_msg_init(&from);
		zmq_msg_init(&second);
		zmq_msg_init(&body);
	}
}

static void echo(void *s) {
	zmq_msg_t client, body;
	zmq_msg_init(&client);
	zmq_msg_init(&body);
	while (receive(&client, s)) {
		if (!zmq_msg_more(&client) || !receive(&body, s))
			die("message of one frame");
		send_frame(&client, s, ZMQ_SNDMORE);
		send_frame(&body, s, 0);
	}
}

/* serve runs handle for sockets that have something, until the input ends. */
static void serve(void **sockets, int n, void (*handle)(void *)) {
	static zmq_pollitem_t items[MAX_SOCKETS + 1];
	for (int i = 0; i < n; i++)
		items[i] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};
	items[n] = (zmq_pollitem_t){.fd = STDIN_FILENO, .events = ZMQ_POLLIN};
	for (;;) {
		if (zmq_poll(items, n + 1, -1) < 0) {
			if (zmq_errno() == EINTR)
				continue;
			die("poll");
		}
		for (int i = 0; i < n; i++)
			if (items[i].revents)
				handle(sockets[i]);
		if (items[n].revents)
			return;
	}
}

static void broker(void *context) {
	char address[256];
	size_t size = sizeof address;
	void *s = open_socket(context, ZMQ_ROUTER);
	if (zmq_bind(s, "tcp://127.0.0.1:*") || zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, address, &size))
		die("bind");
	ready(address);
	serve(&s, 1, forward);
}

static void worker(void *context, const char *address, int n) {
	static void *sockets[MAX_SOCKETS];
	for (int i = 0; i < n; i++) {
		sockets[i] = connect_socket(context, address);
		if (zmq_send(sockets[i], "R", 1, 0) < 0)
			die("send");
	}
	usleep(200000); /* nothing says when the broker has it */
	ready("");
	serve(sockets, n, echo);
}

static int64_t clock_ns(clockid_t clock) {
	struct timespec t;
	if (clock_gettime(clock, &t)) {
		errno = ESRCH;
		die("clock");
	}
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t cpu_ns(const int *pids, int n) {
	int64_t sum = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < n; i++) {
		clockid_t clock;
		if (clock_getcpuclockid(pids[i], &clock)) {
			errno = ESRCH;
			die("clock");
		}
		sum += clock_ns(clock);
	}
	return sum;
}

static uint32_t *took;
static size_t calls, room;

static void record(int64_t ns) {
	if (calls == room) {
		room = room ? 2 * room : 1 << 16;
		if (!(took = realloc(took, room * sizeof *took))) {
			errno = ENOMEM;
			die("latencies");
		}
	}
	took[calls++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int ascending(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void request(void *s, unsigned char *body, size_t size, uint32_t slot) {
	memcpy(body, &slot, sizeof slot);
	if (zmq_send(s, body, size, 0) < 0)
		die("send");
}

static void measure(void **sockets, int n, size_t size, int in_flight, int64_t warm_up, int64_t duration, const int *pids,
                    int pid_count) {
	static zmq_pollitem_t items[MAX_SOCKETS];
	unsigned char *body = malloc(size);
	int64_t *started = calloc(in_flight, sizeof *started);
	if (!body || !started) {
		errno = ENOMEM;
		die("memory");
	}
	memset(body, 'x', size);
	for (int i = 0; i < n; i++)
		items[i] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};
	calls = 0;
	int64_t now = clock_ns(CLOCK_MONOTONIC), begin = now + warm_up, begun = 0, ended = 0, cpu = 0;
	for (int slot = 0; slot < in_flight; slot++) {
		started[slot] = clock_ns(CLOCK_MONOTONIC);
		request(sockets[slot % n], body, size, slot);
	}
	zmq_msg_t reply;
	zmq_msg_init(&reply);
	for (int outstanding = in_flight; outstanding > 0;) {
		if (zmq_poll(items, n, -1) < 0) {
			if (zmq_errno() == EINTR)
				continue;
			die("poll");
		}
		for (int i = 0; i < n; i++) {
			while (items[i].revents && receive(&reply, sockets[i])) {
				uint32_t slot;
				if (zmq_msg_size(&reply) != size)
					die("reply of another size");
				memcpy(&slot, zmq_msg_data(&reply), sizeof slot);
				now = clock_ns(CLOCK_MONOTONIC);
				if (begun && !ended)
					record(now - started[slot]);
				if (!begun && now >= begin) {
					cpu = -cpu_ns(pids, pid_count);
					begun = now;
				} else if (begun && !ended && now >= begun + duration) {
					cpu += cpu_ns(pids, pid_count);
					ended = now;
				}
				if (ended) {
					outstanding--;
					continue;
				}
				started[slot] = now;
				request(sockets[i], body, size, slot);
			}
		}
	}
	zmq_msg_close(&reply);
	free(body);
	free(started);
	if (!calls) {
		errno = ETIMEDOUT;
		die("no call ended in time");
	}
	qsort(took, calls, sizeof *took, ascending);
	printf("sample %zu %lld %lld %u %u\n", calls, (long long)(ended - begun), (long long)cpu, took[calls / 2],
	       took[(size_t)(calls * 0.99)]);
	fflush(stdout);
}

static void client(void *context, const char *address, int n) {
	static void *sockets[MAX_SOCKETS];
	static char line[4096];
	for (int i = 0; i < n; i++)
		sockets[i] = connect_socket(context, address);
	ready("");
	while (fgets(line, sizeof line, stdin)) {
		size_t size;
		int in_flight, used, pids[MAX_PIDS], pid_count = 0;
		long long warm_up, duration;
		if (sscanf(line, "measure %zu %d %lld %lld%n", &size, &in_flight, &warm_up, &duration, &used) != 4 || size < 4) {
			printf("error what is %s", line);
			fflush(stdout);
			continue;
		}
		for (char *rest = line + used; pid_count < MAX_PIDS; pid_count++) {
			char *end;
			pids[pid_count] = (int)strtol(rest, &end, 10);
			if (end == rest)
				break;
			rest = end;
		}
		measure(sockets, n, size, in_flight, warm_up, duration, pids, pid_count);
	}
}

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: forwarder broker|worker|client ADDRESS CLIENTS WORKERS\n");
		return 2;
	}
	int clients = atoi(argv[3]), served = atoi(argv[4]);
	if (clients < 1 || clients > MAX_SOCKETS || served < 1 || served > MAX_SOCKETS) {
		fprintf(stderr, "forwarder: 1 to %d sockets\n", MAX_SOCKETS);
		return 2;
	}
	void *context = zmq_ctx_new();
	if (!strcmp(argv[1], "broker"))
		broker(context);
	else if (!strcmp(argv[1], "worker"))
		worker(context, argv[2], served);
	else
		client(context, argv[2], clients);
	return 0; /* the sockets end with the process */
}
