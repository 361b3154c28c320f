// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire_seeds.c FOLDER - write each sample to FOLDER/NAME as a seed of
 * fuzz_wire: one byte that chooses the decoder, then the message.
 */
#include "wire_samples.h"

#include <stdio.h>
#include <stdlib.h>

static int write_seed(const char *folder, const struct sample *s)
{
	char path[4096];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", folder, s->name);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return -1;
	}
	bad = fputc(s->kind, f) == EOF || fwrite(s->bytes, 1, s->len, f) != s->len;
	if (fclose(f) || bad) {
		perror(path);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return EXIT_FAILURE;
	}
	for (i = 0; i < samples_count; i++)
		if (write_seed(argv[1], &samples[i]))
			return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
