NEEDS.pipecd-store-object := libstore libconf libs3 libsandbox
