NEEDS.libtable := libmsg libhash -llmdb
