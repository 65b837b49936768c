/*
 * door.h - the agent's door to a control plane: all structs of pipecd-report
 * where it is that.
 *
 * What happened goes out: journals (follow.c, send.c), and facts outside of
 * deployments (outbox.c, live state in tree.c).  What is wanted comes in:
 * applications (regs.c), commands (orders.c), unfinished deployments
 * (resume.c).  plane.c alone knows how to call; who calls is told of an answer
 * that stands, never of an outage.
 */
#ifndef PIPECD_DOOR_H
#define PIPECD_DOOR_H

#include <sys/queue.h>

#include "bus.h"
#include "conf.h"
#include "grpc.h"
#include "journal.h"
#include "loop.h"
#include "service/agent.pb-c.h"
#include "service/pipedservice.pb-c.h"

struct door;
struct report;

/* --- calls (plane.c) --------------------------------------------------------
 */

enum {
	PLANE_CALLS = 32, /* under way at once */
	CALL_MS = 30000,  /* for one answer */
	PAUSE_MS = 1000,  /* after a failure; doubled */
	PAUSE_MAX_MS = 30000,
	KEY_PAUSE_MS = 5000, /* after our key was refused; doubled */
	KEY_PAUSE_MAX_MS = 300000,
	CALL_TRIES = 10, /* of one that fails while others do not */
};

/*
 * One request, repeated over any outage until there is an answer that stands.
 * The owner fills in the first part and keeps it where it is until `done`.
 */
struct call {
	const char *method; /* "CreateDeployment" */
	const ProtobufCMessageDescriptor *res;
	struct buf bytes; /* owned; the packed request */
	bool read;	  /* changes nothing: needs no epoch */
	bool identity;	  /* refused for us, not for what it is about */
	/* `code` is GRPC_OK or final; `res` then lives in `a`. */
	void (*done)(struct door *d, struct call *c, int code, const char *text,
	    const ProtobufCMessage *res, struct arena *a);
	void *owner;
	/* The rest is plane.c's. */
	struct door *door;
	struct grpc_request *request; /* NULL: it waits */
	bool busy;		      /* between plane_call and done */
	int tries;
	unsigned long long good; /* of the plane, when it last failed */
	TAILQ_ENTRY(call) next;
};
TAILQ_HEAD(calls, call);

struct plane {
	struct grpc_client *client;
	struct calls wait;
	size_t n_wait, under_way;
	bool up;	/* there is a connection */
	bool said_down; /* and that there is none was said */
	int64_t down_at;
	int64_t pause_ms, pause_until; /* 0: none */
	bool probing;		       /* one call, to see whether it is over */
	bool key_bad;		       /* and that was said */
	struct loop_timer timer;
	unsigned long long good, bad; /* answers */
	char *authorization;	      /* owned, wiped */
	/* Watch. */
	struct grpc_request *watch;
	struct loop_timer watch_timer;
	int64_t watch_pause_ms;
	char instance[UUID_LEN];
	uint64_t epoch;	   /* 0: none yet */
	bool known;	   /* which kind of control plane it is */
	bool ours;	   /* ours: it answers Watch */
	bool hello;	   /* this Watch has said it */
	int64_t alive_ms;  /* silence that is too long */
	char *fenced;	   /* owned; why, NULL: we are not */
	int64_t fenced_at; /* said again then */
};

int plane_open(struct door *d, struct err *e);
void plane_close(struct door *d);
/*
 * Packs the request (NULL: it stands in c->bytes); done may be called at any
 * time from the loop.
 */
void plane_call(struct door *d, struct call *c, const ProtobufCMessage *req);
void plane_kick(struct door *d); /* something that calls waited for is there */
/* Not called back any more; its buffer is freed. */
void plane_drop(struct door *d, struct call *c);
/* Whether there is somebody to speak to right now. */
bool plane_ready(const struct door *d);
void plane_fenced(struct door *d, const char *why);
/* Our key or identity was refused: again later, or with a newer key. */
void plane_refused(struct door *d, int code, const char *text);
void plane_good(struct door *d); /* somebody answers us */

/* watch.c: what our own control plane says by itself */
void watch_start(struct door *d);
void watch_stop(struct door *d);

/* --- journals (follow.c, send.c) -------------------------------------------
 */

enum {
	LINES_MAX = 16,	   /* applications that are sent at once */
	OPEN_MAX = 32,	   /* journals that are kept open */
	BATCH_LINES = 500, /* log lines in one call */
	BATCH_BYTES = 256 * 1024,
	KEEP_BYTES = 256 * 1024, /* of a log between two checkpoints */
	CURSOR_MS = 1000,	 /* a cursor on the disk is this old at most */
};

struct op {
	struct call call;
	struct follow *f;
	struct op *next;
	/* Before the next one is sent; NULL: an error is only said. */
	void (*after)(struct follow *f, int code, const ProtobufCMessage *res);
};

/* What of a follow is needed only while it is sent. */
struct sending {
	struct journal_reader r;
	struct journal_state s;
	struct arena *arena; /* of s */
	struct arena *work;  /* of the record in hand */
	struct op *ops, **end;
	bool created; /* the control plane has the deployment */
	bool ended;   /* its last record was read */
	int64_t base; /* log lines are numbered from here */
	int64_t at_s; /* the latest time that a record named */
	/*
	 * Log lines of one stage: those that wait to be sent together, and for
	 * PipeCD's control plane, which keeps for good only what comes with a
	 * checkpoint, all since the last one.
	 */
	struct {
		char *stage; /* in `arena`; NULL: no lines */
		struct blocks {
			Model__LogBlock **list; /* owned */
			size_t n, cap, bytes;
		} unsent, unkept;
		struct arena *arena;
	} log;
	uint64_t used;		    /* for the choice of which to close */
	const char *application_id; /* as the control plane has it */
	char *chain_id;		    /* that it gave; NULL: not asked for */
	bool foreign;		    /* it has no such application */
	Model__Deployment *there;   /* as it had it already; NULL: new to it */
	bool skipping;		    /* nothing is sent: it was */
	struct door *door;
};

struct follow {
	char id[64];
	struct line *line;  /* NULL: not read yet */
	int64_t created_at; /* orders those of a line */
	int64_t offset;	    /* delivered up to here */
	int64_t seq;
	char prev[SHA256_HEX];
	int64_t saved_at; /* now_ms; 0: its cursor is on the disk */
	bool dirty;	  /* there may be more */
	bool done;	  /* given up */
	bool foreign;	  /* because its application is not registered */
	bool rewound;	  /* was sent again from its beginning */
	struct sending *s;
	TAILQ_ENTRY(follow) next; /* of its line */
};
TAILQ_HEAD(follows, follow);

/* An application's journals, oldest first. */
struct line {
	char *key; /* owned */
	struct follows follows;
	bool busy, ready;
	TAILQ_ENTRY(line) next;
};
TAILQ_HEAD(lines, line);

/* cursor.c: report/cursor/<deployment>, and <deployment>.done. */
char *cursor_name(struct door *d, const struct follow *f, const char *suffix);
void cursor_save(struct door *d, struct follow *f);
/* Delivered to its end: nothing but that is to be remembered. */
void cursor_done(struct door *d, struct follow *f);
/* Its place and its application ("" : not known), from an earlier life. */
void cursor_load(struct door *d, struct follow *f, char key[256]);

int follow_open(struct door *d, struct err *e);
void follow_close(struct door *d);
/* Look for journals; where there is no directory yet, again later. */
void follow_scan(struct door *d);
void follow_pump(struct door *d);
/* All that is in the journals has been delivered. */
bool follow_idle(const struct door *d);
/* Whether there is a journal of this deployment, finished or not. */
bool follow_has(const struct door *d, const char *id);
/* Applications were registered: some journals may be of them. */
void follow_registered(struct door *d);
void follow_tick(struct door *d);
/* Send it again from its beginning: the control plane has lost it. */
void follow_again(struct door *d, const char *id);

/* What has to be asked before it is gone on with. */
void send_again(struct follow *f);
/* Turn the record into ops. */
void send_record(struct follow *f, const struct frame *fr);
/* Log lines that were read into an op, if there are any. */
void send_flush(struct follow *f);
void op_free(struct op *o);

/* --- applications (regs.c) -------------------------------------------------
 */

struct reg {
	char *id;	/* owned */
	char *key;	/* owned; repository, path and file name */
	uint64_t state; /* hash of the sync state that it has */
	uint64_t tree;	/* hash of the live state it was told last */
	int64_t tree_at;
	uint64_t info; /* hash of name, description and labels it has */
	bool held;     /* its sync state says so */
	bool seen;     /* in the list that is being read */
};

/* An application in git, as it is to be told: packed. */
struct info {
	void *p; /* owned */
	size_t len;
};

struct regs {
	struct map *by_id, *by_key; /* -> struct reg */
	bool known;		    /* there was a list, now or before */
	bool fresh;		    /* it is of this life of ours */
	struct call list, infos, unregistered;
	uint64_t list_hash;
	int64_t list_at; /* ask again then */
	FILE *retell;	 /* being said again, a piece at a time */
	int64_t retell_at;
	struct map *found;   /* key -> struct info: not registered */
	int64_t found_at;    /* report them then */
	struct map *changed; /* id -> struct info: not as registered */
	int64_t changed_at;
};

int regs_open(struct door *d, struct err *e);
void regs_close(struct door *d);
void regs_ask(struct door *d); /* the list, now */
void regs_retell(struct door *d);
void regs_tick(struct door *d);
/* A frame of plan: an application in git. */
void regs_app(struct door *d, const Frame__App *f);
struct reg *regs_get(const struct door *d, const char *id);
/* By where it is in git. */
struct reg *regs_find(const struct door *d, const Model__ApplicationGitPath *p);
/* FNV-1a; h is 0 at first, then what the last call returned. */
uint64_t hash_more(uint64_t h, const void *p, size_t n);
uint64_t state_hash(const Model__ApplicationSyncState *s);
/* app_state and held: whether it is news for the control plane. */
bool regs_state_news(struct door *d, const struct frame *f);

/* --- facts that must arrive (outbox.c) -------------------------------------
 */

struct outbox {
	struct map *by_key; /* -> struct fact */
	int fd;
	int64_t size, live; /* bytes */
	bool dirty;
	struct loop_task sync;
};

int outbox_open(struct door *d, struct err *e);
void outbox_close(struct door *d);
/* app_state, held or command_done: on the disk, then sent. */
void outbox_put(struct door *d, const struct frame *f);
bool outbox_idle(const struct door *d);
/* "command/<id>", "state/<application>": it is on its way. */
bool outbox_has(const struct door *d, const char *key);

/* --- commands (orders.c) ---------------------------------------------------
 */

struct orders {
	struct map *by_id; /* -> struct order */
	struct call list;
	int64_t list_at; /* ask again then */
	int64_t due_at;
};

void orders_open(struct door *d);
void orders_close(struct door *d);
void orders_ask(struct door *d); /* the list, now */
void orders_take(struct door *d, Model__Command *const *list, size_t n);
void orders_chains(struct door *d); /* a chain went on */
void orders_done(struct door *d, const Frame__CommandDone *f);
/* The control plane knows what became of it. */
void orders_reported(struct door *d, const char *id);
void orders_tick(struct door *d);

/* --- unfinished deployments (resume.c) -------------------------------------
 */

struct resumes {
	struct map *by_id; /* -> packed resume frame as a line */
	struct call list;
	bool asked, told;
	char *cursor;
	int64_t due_at;
};

void resume_open(struct door *d);
void resume_close(struct door *d);
void resume_tick(struct door *d);

/* --- the rest --------------------------------------------------------------
 */

/* tree.c: live state, the newest only */
void tree_live(struct door *d, const Frame__Live *f);

/* meta.c: what we are, and how we are */
struct meta {
	struct call meta, stat;
	bool told;
	int64_t stat_at, every_ms, started_at;
	struct buf public_key;
};
int meta_open(struct door *d, struct err *e);
void meta_close(struct door *d);
void meta_tick(struct door *d);

struct door {
	struct conf_piped *conf;
	bool filter; /* stdin, until its end */
	bool once;   /* until all is delivered */
	bool eof;    /* of stdin */
	bool stop;
	bool restart; /* somebody wants the agent started anew */
	int64_t give_up_at;
	unsigned long long give_up_good; /* answers, when that was set */
	int rv;
	struct err why;
	struct loop *loop;
	struct bus *bus;
	struct loop_watch bus_watch;
	struct loop_timer tick;
	struct arena *turn;  /* of what is in hand */
	struct report *text; /* -t as well, or NULL */
	int dir;	     /* stateDir/report */
	int journal;	     /* stateDir/journal, -1: not there yet */
	int notify;
	struct loop_watch notify_watch;
	struct plane plane;
	struct map *by_id;   /* follows that are not done */
	struct map *by_line; /* lines by application */
	struct lines ready;
	size_t n_busy, n_open;
	uint64_t uses;
	int64_t scan_at;
	int64_t cursors_at;
	unsigned long long delivered; /* records */
	struct regs regs;
	struct outbox outbox;
	struct orders orders;
	struct resumes resumes;
	struct meta meta;
	int n_trees;
};

/* Say that we are fenced off, where we are. */
void door_fenced(struct door *d);
/* Ask the supervisor for that: 0, or -1 with *e. */
int door_end_agent(struct err *e);
/* Somebody wants the whole agent started anew. */
void door_restart(struct door *d);
const char *door_version(void);
/* Say a frame to the agent's other programs; what is lost is said again. */
void door_tell(struct door *d, const struct frame *f);
/* -b, a filter (dir NULL), or -1: 0, or -1 with *e. */
int door_main(struct conf_piped *c, const char *bus, bool once,
    struct report *text, struct err *e);

#endif
