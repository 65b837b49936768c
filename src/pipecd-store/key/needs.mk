NEEDS.pipecd-store-key := libstore libsandbox -lcrypt
