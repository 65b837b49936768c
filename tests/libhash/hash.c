/*
 * hash sha256 | hmac KEY TEXT | uuid PART...: libhash from a shell, for
 * hash.bats.
 */
#include "hash.h"

#include <stdio.h>
#include <string.h>

int
main(int argc, char *argv[])
{
	const char *const *parts;
	char sum[SHA256_HEX], id[UUID_LEN];
	uint8_t mac[SHA256_DIGEST_LENGTH];
	struct err e;

	log_open("hash", LOG_INFO);
	if (argc == 2 && strcmp(argv[1], "sha256") == 0) {
		if (sha256_file(sum, 0, "stdin", &e) == -1)
			die(&e);
		puts(sum);
		sha256_hex(sum, "abc", 3);
		puts(sum);
		return RC_OK;
	}
	if (argc == 4 && strcmp(argv[1], "hmac") == 0) {
		hmac_sha256(
		    mac, argv[2], strlen(argv[2]), argv[3], strlen(argv[3]));
		hex_encode(sum, mac, sizeof(mac));
		puts(sum);
		return RC_OK;
	}
	if (argc < 3)
		usage("hash sha256 | hmac key text | uuid part ...");
	memcpy(&parts, &(char *const *){ argv + 2 }, sizeof(parts));
	uuid5(id, parts, (size_t)argc - 2);
	puts(id);
	return RC_OK;
}
