NEEDS.pipecd-exec-script := libplatform
