NEEDS.pipecd-store-key := libstore -lcrypt
