NEEDS.pipecd-exec-host := libplatform libmatch libhash
