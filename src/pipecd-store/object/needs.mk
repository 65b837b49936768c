NEEDS.pipecd-store-object := libstore libconf
