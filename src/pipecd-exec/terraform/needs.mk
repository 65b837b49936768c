NEEDS.pipecd-exec-terraform := libplatform libhash
