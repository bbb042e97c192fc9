package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	jetStreamQuiet = 30 * time.Second
	directGet      = "$JS.API.DIRECT.GET." + jetStream
	sequenceHeader = "Nats-Sequence"
	statusHeader   = "Status"
)

// The number that the first event of each stream has among all messages.
var (
	firsts     = map[string]int{}
	firstsLock sync.Mutex
)

func subject(stream string) string {
	return "events." + stream
}

func (s *jetStreamStore) read(stream string, to take) error {
	came := make(chan error, 1)
	end := func(err error) {
		select {
		case came <- err:
		default:
		}
	}
	var taken int64
	received := func(message *nats.Msg) {
		about, err := message.Metadata()
		if err != nil {
			end(err)
			return
		}
		kind, payload := parts(message.Data)
		to(about.Sequence.Stream, kind, payload)
		atomic.AddInt64(&taken, 1)
		if about.NumPending == 0 {
			end(nil)
		}
	}
	subscription, err := s.context.Subscribe(subject(stream), received, nats.OrderedConsumer())
	if err != nil {
		return err
	}
	defer subscription.Unsubscribe()
	if err := subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	quiet := time.NewTicker(jetStreamQuiet)
	defer quiet.Stop()
	for before := int64(-1); ; {
		select {
		case err := <-came:
			return err
		case <-quiet.C:
			seen := atomic.LoadInt64(&taken)
			if seen == before {
				return fmt.Errorf("no message of %s for %v", stream, jetStreamQuiet)
			}
			before = seen
		}
	}
}

type direct struct {
	Sequence int    `json:"seq"`
	Subject  string `json:"next_by_subj"`
	Batch    int    `json:"batch,omitempty"`
}

// page asks whichever replica comes first, as reads that need not be the newest do.
func (s *jetStreamStore) page(stream string, first, count int) (int, error) {
	base, err := s.first(stream)
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(direct{base + first, subject(stream), count})
	if err != nil {
		return 0, err
	}
	answers, err := s.inbox()
	if err != nil {
		return 0, err
	}
	if err := s.connection.PublishRequest(directGet, answers.Subject, body); err != nil {
		return 0, err
	}
	for found := 0; ; found++ {
		message, err := answers.NextMsg(callTime)
		if err != nil {
			return found, err
		}
		// The last one has a status and no event.
		if message.Header.Get(statusHeader) != "" {
			s.idle <- answers
			return found, nil
		}
		parts(message.Data)
	}
}

// inbox is a subscription that nothing is under way to.
func (s *jetStreamStore) inbox() (*nats.Subscription, error) {
	select {
	case free := <-s.idle:
		return free, nil
	default:
		return s.connection.SubscribeSync(nats.NewInbox())
	}
}

func (s *jetStreamStore) first(stream string) (int, error) {
	firstsLock.Lock()
	defer firstsLock.Unlock()
	if known, found := firsts[stream]; found {
		return known, nil
	}
	body, err := json.Marshal(direct{Sequence: 1, Subject: subject(stream)})
	if err != nil {
		return 0, err
	}
	message, err := s.connection.Request(directGet, body, callTime)
	if err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(message.Header.Get(sequenceHeader))
	if err == nil {
		firsts[stream] = number
	}
	return number, err
}

func (s *jetStreamStore) follow(stream string, took func([]byte)) error {
	received := func(message *nats.Msg) {
		_, payload := parts(message.Data)
		took(payload)
	}
	_, err := s.context.Subscribe(subject(stream), received,
		nats.OrderedConsumer(), nats.DeliverNew())
	return err
}
