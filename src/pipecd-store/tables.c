/* The rows of tables.def as data. */
#include "daemon.h"
#include "model/apikey.pb-c.h"
#include "model/application.pb-c.h"
#include "model/command.pb-c.h"
#include "model/deployment.pb-c.h"
#include "model/deployment_chain.pb-c.h"
#include "model/deployment_trace.pb-c.h"
#include "model/event.pb-c.h"
#include "model/piped.pb-c.h"
#include "model/project.pb-c.h"

const struct table_row table_rows[] = {
#define TABLE(t, m, i, p) \
	{ TABLE_TABLE, #t, &m##__descriptor, i, p, NULL, NULL },
#define INDEX(t, o, f) { TABLE_INDEX, #t, NULL, NULL, NULL, #o, f },
#define HIDE(t, f)     { TABLE_HIDE, #t, NULL, NULL, NULL, NULL, f },
#define PRIVATE(t)     { TABLE_PRIVATE, #t, NULL, NULL, NULL, NULL, NULL },
#define PLAIN(t)       { TABLE_PLAIN, #t, NULL, NULL, NULL, NULL, NULL },
#include "tables.def"
};
const size_t n_table_rows = NITEMS(table_rows);
