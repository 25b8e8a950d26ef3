//go:build tools

// Package etcd pins the etcd server that a process cluster's API server stores in.
package etcd

import _ "go.etcd.io/etcd/server/v3"
