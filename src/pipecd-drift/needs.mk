NEEDS.pipecd-drift := libsuper libsandbox libbus libjournal libconf libmsg libhash
