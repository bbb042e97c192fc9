package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	jetStream         = "EVENTS"
	jetStreamOpenTime = 20 * time.Second
	jetStreamPause    = 100 * time.Millisecond
	jetStreamPending  = 4096
	jetStreamIdle     = 256
	batchID           = "Nats-Batch-Id"
	batchSequence     = "Nats-Batch-Sequence"
	batchCommit       = "Nats-Batch-Commit"
)

// An event is a message with the subject events.STREAM that begins with the type. A batch is published atomically, or
// (way "window") as so many messages that are acknowledged one by one.
type jetStreamStore struct {
	connection *nats.Conn
	context    nats.JetStreamContext
	whole      bool
	// Subscriptions that nobody uses just now; each has an inbox of its own.
	idle chan *nats.Subscription
}

type reply struct {
	Error *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Count int `json:"count"`
}

func openJetStream(addresses []string, way string) (store, error) {
	connection, err := nats.Connect("nats://"+strings.Join(addresses, ",nats://"),
		nats.DontRandomize(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	context, err := connection.JetStream(
		nats.MaxWait(callTime), nats.PublishAsyncMaxPending(jetStreamPending))
	if err != nil {
		return nil, err
	}
	idle := make(chan *nats.Subscription, jetStreamIdle)
	s := &jetStreamStore{connection, context, way != "window", idle}
	return s, s.create()
}

// create makes the stream, or finds it. A cluster that has just started may refuse for a while.
// The request is made by hand, as this library is older than batches that are atomic.
func (s *jetStreamStore) create() error {
	wanted, err := json.Marshal(map[string]interface{}{
		"name": jetStream, "subjects": []string{"events.>"}, "storage": "file",
		"retention": "limits", "discard": "old", "num_replicas": 3,
		"max_msgs": -1, "max_bytes": -1, "max_consumers": -1, "allow_atomic": s.whole, "allow_direct": true,
	})
	if err != nil {
		return err
	}
	for end := time.Now().Add(jetStreamOpenTime); ; time.Sleep(jetStreamPause) {
		if _, err = s.context.StreamInfo(jetStream); err == nil {
			return nil
		}
		err = s.request("$JS.API.STREAM.CREATE."+jetStream, wanted)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (s *jetStreamStore) request(subject string, body []byte) error {
	answer, err := s.connection.Request(subject, body, callTime)
	if err != nil {
		return err
	}
	_, err = read(answer)
	return err
}

func read(answer *nats.Msg) (reply, error) {
	var found reply
	if err := json.Unmarshal(answer.Data, &found); err != nil {
		return found, err
	}
	if found.Error != nil {
		return found, fmt.Errorf("JetStream error %d: %s", found.Error.Code, found.Error.Description)
	}
	return found, nil
}

func (s *jetStreamStore) close() {
	s.connection.Close()
}

type jetStreamLane struct {
	store   *jetStreamStore
	subject string
	number  int
	batches int
}

func (s *jetStreamStore) lane(number int, stream string) lane {
	return &jetStreamLane{store: s, subject: subject(stream), number: number}
}

func (l *jetStreamLane) append(payloads [][]byte) error {
	switch {
	case len(payloads) == 1:
		_, err := l.store.context.Publish(l.subject, typed(payloads[0]), nats.AckWait(callTime))
		return err
	case l.store.whole:
		return l.appendAtomically(payloads)
	default:
		return l.appendInWindow(payloads)
	}
}

func (l *jetStreamLane) appendAtomically(payloads [][]byte) error {
	l.batches++
	id := fmt.Sprintf("%s-%d-%d", l.subject, l.number, l.batches)
	last := len(payloads)
	for number, payload := range payloads {
		message := &nats.Msg{Subject: l.subject, Data: typed(payload), Header: nats.Header{
			batchID: {id}, batchSequence: {strconv.Itoa(number + 1)},
		}}
		if number+1 < last {
			if err := l.store.connection.PublishMsg(message); err != nil {
				return err
			}
			continue
		}
		message.Header[batchCommit] = []string{"1"}
		answer, err := l.store.connection.RequestMsg(message, callTime)
		if err != nil {
			return err
		}
		stored, err := read(answer)
		if err == nil && stored.Count != last {
			err = fmt.Errorf("%d of %d events were stored", stored.Count, last)
		}
		return err
	}
	return nil
}

func (l *jetStreamLane) appendInWindow(payloads [][]byte) error {
	waited := make([]nats.PubAckFuture, len(payloads))
	for number, payload := range payloads {
		future, err := l.store.context.PublishAsync(l.subject, typed(payload))
		if err != nil {
			return err
		}
		waited[number] = future
	}
	late := time.After(callTime)
	for _, future := range waited {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return err
		case <-late:
			return nats.ErrTimeout
		}
	}
	return nil
}
