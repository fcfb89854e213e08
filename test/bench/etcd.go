package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

// etcd is the store below the API server. It is written to directly where a hundred thousand objects have to be there
// soon, and read where their bytes count.
type etcd struct {
	cp     *controlplane.ControlPlane
	url    string
	client *http.Client
}

func newEtcd(cp *controlplane.ControlPlane) (*etcd, error) {
	url, config, err := cp.EtcdEndpoint()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: churnAtOnce}
	return &etcd{cp: cp, url: url, client: &http.Client{Transport: transport}}, nil
}

// pair is one key and its value, as etcd's JSON has them.
type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"`
}

func (e *etcd) call(ctx context.Context, method string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/v3/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s: %s: %s", method, response.Status, text)
	}
	return json.Unmarshal(text, out)
}

// put writes all pairs at once. etcd takes 128 at most, and 1.5 MiB.
func (e *etcd) put(ctx context.Context, pairs []pair) error {
	type operation struct {
		Put pair `json:"requestPut"`
	}
	operations := make([]operation, len(pairs))
	for i, p := range pairs {
		operations[i].Put = p
	}
	return e.call(ctx, "kv/txn", map[string]any{"success": operations}, &struct{}{})
}

// header is what every answer of etcd begins with.
type header struct {
	Revision uint64 `json:"revision,string"`
}

// change writes one pair, and returns the revision that it has then.
func (e *etcd) change(ctx context.Context, key string, value []byte) (uint64, error) {
	var answer struct {
		Header header `json:"header"`
	}
	err := e.call(ctx, "kv/put", pair{Key: []byte(key), Value: value}, &answer)
	return answer.Header.Revision, err
}

const (
	atOnce      = 100
	bytesAtOnce = 512 << 10
)

// putter writes many pairs, some at a time.
type putter struct {
	*etcd
	ctx     context.Context
	waiting []pair
	bytes   int
}

func (p *putter) put(key string, value []byte) error {
	p.waiting = append(p.waiting, pair{Key: []byte(key), Value: bytes.Clone(value)})
	p.bytes += len(key) + len(value)
	if len(p.waiting) < atOnce && p.bytes < bytesAtOnce {
		return nil
	}
	return p.flush()
}

func (p *putter) flush() error {
	if len(p.waiting) == 0 {
		return nil
	}
	err := p.etcd.put(p.ctx, p.waiting)
	p.waiting, p.bytes = p.waiting[:0], 0
	return err
}

// live is how many keys there are below a prefix, and how many bytes they and their values have.
func (e *etcd) live(ctx context.Context, prefix string) (keys, size int64, err error) {
	const page = 100
	from, end := []byte(prefix), after(prefix)
	for {
		var answer struct {
			KVs  []pair `json:"kvs"`
			More bool   `json:"more"`
		}
		if err := e.call(ctx, "kv/range", map[string]any{"key": from, "range_end": end, "limit": strconv.Itoa(page)}, &answer); err != nil {
			return 0, 0, err
		}
		for _, kv := range answer.KVs {
			keys++
			size += int64(len(kv.Key) + len(kv.Value))
		}
		if !answer.More {
			return keys, size, nil
		}
		from = append(answer.KVs[len(answer.KVs)-1].Key, 0)
	}
}

// after is the first key that does not begin with the prefix.
func after(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}

// tidy forgets all revisions but the last, and gives back what they took. It returns how large the file is then, and
// was before, and how much of it was in use before.
func (e *etcd) tidy(ctx context.Context) (now, before, used int64, err error) {
	status, err := e.status(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	if _, err := e.cp.Etcdctl(ctx, "compact", "--physical", strconv.FormatUint(status.Header.Revision, 10)); err != nil && !strings.Contains(err.Error(), "has been compacted") {
		return 0, 0, 0, err
	}
	if status, err = e.status(ctx); err != nil {
		return 0, 0, 0, err
	}
	before, used = status.Size, status.Used
	if _, err := e.cp.Etcdctl(ctx, "defrag", "--command-timeout=5m"); err != nil {
		return 0, 0, 0, err
	}
	status, err = e.status(ctx)
	return status.Size, before, used, err
}

type etcdStatus struct {
	Header header `json:"header"`
	Size   int64  `json:"dbSize,string"`
	Used   int64  `json:"dbSizeInUse,string"`
}

func (e *etcd) status(ctx context.Context) (status etcdStatus, err error) {
	return status, e.call(ctx, "maintenance/status", struct{}{}, &status)
}

// stored is the key and the value of one object, in bytes.
func (e *etcd) stored(ctx context.Context, key string) (int64, error) {
	keys, size, err := e.live(ctx, key)
	if err == nil && keys != 1 {
		err = fmt.Errorf("etcd has %d keys that begin with %s: want 1", keys, key)
	}
	return size, err
}
