package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/clientv3"
)

const (
	etcdPage        = 10000
	etcdConnections = 4
	etcdDialTime    = 5 * time.Second
	messageBytes    = 64 << 20
)

// An event is a key STREAM/OFFSET whose value begins with the type; a batch is one transaction.
type etcdStore struct {
	clients []*clientv3.Client
}

func openEtcd(addresses []string, lanes int) (store, error) {
	s := &etcdStore{}
	for len(s.clients) == 0 || (len(s.clients) < lanes && len(s.clients) < etcdConnections) {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:          addresses,
			DialTimeout:        etcdDialTime,
			MaxCallSendMsgSize: messageBytes,
			MaxCallRecvMsgSize: messageBytes,
		})
		if err != nil {
			return nil, err
		}
		s.clients = append(s.clients, client)
	}
	return s, nil
}

func (s *etcdStore) close() {
	for _, client := range s.clients {
		client.Close()
	}
}

type etcdLane struct {
	client *clientv3.Client
	prefix string
	next   int
}

func (s *etcdStore) lane(number int, stream string) lane {
	return &etcdLane{client: s.clients[number%len(s.clients)], prefix: stream + "/"}
}

func etcdKey(prefix string, offset int) string {
	return fmt.Sprintf("%s%016d", prefix, offset)
}

func (l *etcdLane) append(payloads [][]byte) error {
	limited, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	first := l.next
	// What became of a call that failed is not known, so its offsets are not used again.
	l.next += len(payloads)
	if len(payloads) == 1 {
		_, err := l.client.Put(limited, etcdKey(l.prefix, first), string(typed(payloads[0])))
		return err
	}
	puts := make([]clientv3.Op, len(payloads))
	for number, payload := range payloads {
		puts[number] = clientv3.OpPut(etcdKey(l.prefix, first+number), string(typed(payload)))
	}
	_, err := l.client.Txn(limited).Then(puts...).Commit()
	return err
}

// Offsets are dense, so a page is a range of known keys: a limit instead would have the server
// count all that follows, once a page.
func (s *etcdStore) read(stream string, to take) error {
	for first := 0; ; first += etcdPage {
		count, err := s.hand(s.clients[0], stream, first, etcdPage, to)
		if count == 0 || err != nil {
			return err
		}
	}
}

// hand hands over one page and says how many events it had.
func (s *etcdStore) hand(c *clientv3.Client, stream string, first, count int, to take) (int, error) {
	prefix := stream + "/"
	limited, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	// Nothing that is read here has to be the newest, so no quorum is asked.
	page, err := c.Get(limited, etcdKey(prefix, first),
		clientv3.WithRange(etcdKey(prefix, first+count)), clientv3.WithSerializable())
	if err != nil {
		return 0, err
	}
	for _, pair := range page.Kvs {
		offset, err := strconv.ParseUint(string(pair.Key[len(prefix):]), 10, 64)
		if err != nil {
			return 0, err
		}
		kind, payload := parts(pair.Value)
		to(offset, kind, payload)
	}
	return len(page.Kvs), nil
}

func (s *etcdStore) page(stream string, first, count int) (int, error) {
	client := s.clients[first%len(s.clients)]
	return s.hand(client, stream, first, count, func(uint64, string, []byte) {})
}

func (s *etcdStore) follow(stream string, took func([]byte)) error {
	seen := s.clients[0].Watch(context.Background(), stream+"/",
		clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if created := <-seen; created.Err() != nil {
		return created.Err()
	}
	go func() {
		for news := range seen {
			for _, event := range news.Events {
				_, payload := parts(event.Kv.Value)
				took(payload)
			}
		}
	}()
	return nil
}
