/*
 * confdoc - JSON schemas and manual pages from the rows of libconf, at build
 * time: confdoc schema KIND, confdoc man PAGE.
 */
#include <string.h>

#include "conf.h"

int
main(int argc, char *argv[])
{
	log_open("confdoc", LOG_INFO);
	if (argc == 3 && strcmp(argv[1], "schema") == 0)
		conf_schema(stdout, argv[2]);
	else if (argc == 3 && strcmp(argv[1], "man") == 0)
		conf_manual(stdout, argv[2]);
	else
		usage("confdoc schema KIND | man PAGE");
	return fflush(stdout) == 0 ? RC_OK : RC_TEMP;
}
