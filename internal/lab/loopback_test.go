package lab_test

// loopbackConfig is an edge on loopback, in no namespace: its name, its region, the folder
// of everything, its resolver, and where it serves HTTPS.
const loopbackConfig = `
[edge]
name = "%[1]s"
region = "%[2]s"
data = "%[3]s/%[1]s"

[[store]]
kind = "folder"
prefix = "/folder/"
path = "%[3]s/folder"

[dns]
addresses = ["127.0.0.1"]
resolvers = ["%[4]s"]

[http]
listen = []

[https]
listen = ["%[5]s"]

[tls]
mode = "internal"

[admin]
listen = ""

`
