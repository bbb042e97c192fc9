package main

import (
	"fmt"
	"strings"
	"time"
)

const eventType = "ObservationRecorded"

// Who calls a store waits so long for an answer. A program that wants to survive the death of a
// leader waits less.
var callTime = 10 * time.Second

const impatient = time.Second

// take is given offset, type and payload of one event after the other.
type take func(offset uint64, kind string, payload []byte)

// typed puts the type before the payload, for peers that know only bytes.
func typed(payload []byte) []byte {
	value := make([]byte, 0, 1+len(eventType)+len(payload))
	value = append(value, byte(len(eventType)))
	value = append(value, eventType...)
	return append(value, payload...)
}

// parts takes type and payload apart again.
func parts(value []byte) (string, []byte) {
	end := 1 + int(value[0])
	return string(value[1:end]), value[end:]
}

// A lane has one call in flight. It appends to a stream of its own.
type lane interface {
	// append returns once all payloads are durable on a quorum, as far as the server is told to.
	append(payloads [][]byte) error
}

// A store is a connection to a peer.
type store interface {
	// lane gives the numbered lane; lanes share connections as their number says.
	lane(number int, stream string) lane
	// read hands over every event of a stream, from its first to its last.
	read(stream string, take take) error
	// page reads so many events, the first of them being the numbered one of the stream.
	page(stream string, first, count int) (int, error)
	// follow hands over what is appended from now on, until the store is closed.
	follow(stream string, took func(payload []byte)) error
	close()
}

// open connects to "scheme://host:port,host:port?way". The way is the peer's own business.
func open(url string, lanes int) (store, error) {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return nil, fmt.Errorf("%q is no address", url)
	}
	hosts, way, _ := strings.Cut(rest, "?")
	addresses := strings.Split(hosts, ",")
	switch scheme {
	case "etcd":
		return openEtcd(addresses, lanes)
	case "jetstream":
		return openJetStream(addresses, way)
	}
	return nil, fmt.Errorf("this client knows no %q", scheme)
}
