/* c */ terraform { backend "s3" { bucket = "x" } }
variable "a" {
  type = list(string)
  sensitive = true
}
module "vpc" { # c
  source = "a/b/c"
  version = "1.${x ? "}" : "{"}.2"
  t = <<-EOT
    } "
  EOT
  l = [1, { a = "b" }]
}
