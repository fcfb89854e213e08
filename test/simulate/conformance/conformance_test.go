package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

// session is one run of the API server, with many scripts.
type session struct {
	*recorder
	side      *side
	acts      []act
	first     int // the number of the first write that is the session's own
	gadgets   []schema.GroupVersionResource
	resources map[int]read // what a continue token is of
	kept      []read
}

func TestModelAnswersAsKubeAPIServer(t *testing.T) {
	scripts, reads := 0, 0
	for i := range *sessionsFlag {
		seed := *seedFlag + uint64(i)
		s := live(t, seed)
		synctest.Test(t, func(t *testing.T) { s.compare(t, seed) })
		scripts += *scriptsFlag
		for _, a := range s.acts {
			if a.read != nil {
				reads++
			}
		}
		if t.Failed() {
			return
		}
		t.Logf("session %d: %d writes", seed, len(s.writes)-s.first)
	}
	t.Logf("%d scripts, %d reads", scripts, reads)
}

// live lets a session happen on the real API server.
func live(t *testing.T, seed uint64) *session {
	t.Helper()
	s := &session{recorder: &recorder{t: t}, resources: map[int]read{}}
	s.connect()
	systemNamespaces(t, s.client)
	s.define("v1")
	s.begin()
	defer func() {
		for _, w := range s.watches {
			w.Stop()
		}
	}()
	s.first = len(s.writes)
	s.disturb()
	chance := make([]*rand.Rand, *scriptsFlag)
	for i := range chance {
		chance[i] = rand.New(rand.NewPCG(seed, uint64(i)))
	}
	s.change(deployments, chance[0])
	phase := func(steps int, keeps bool) {
		for i, r := range chance {
			for range steps {
				for range r.IntN(4) {
					k := compared[r.IntN(len(compared))]
					if k != gadgets || len(s.watches) == len(compared) {
						s.change(k, r)
					}
				}
				s.ask(i, s.draw(i, r))
			}
			if keeps {
				s.keep(i, r)
			}
		}
	}
	phase(4, true)
	if seed == *seedFlag {
		s.unborn()
	}
	s.define("v1", "v2")
	phase(1, false)
	at := s.some(chance[0])
	s.compact(at)
	phase(2, false)
	s.restart()
	phase(2, false)
	s.withdraw()
	phase(1, false)
	s.define("v2", "v1")
	phase(1, false)
	return s
}

func (s *session) connect() {
	whole, partial := realClients(s.t)
	s.client = whole
	if s.side == nil {
		s.side = newSide(whole, partial)
	}
	s.side.dynamic, s.side.metadata = whole, partial
}

// ask asks the real API server.
func (s *session) ask(script int, r read) {
	s.noteRevisions()
	s.acts = append(s.acts, act{script: script, writes: len(s.writes), read: &r, answer: s.side.answer(s.t.Context(), r)})
}

func (s *session) noteRevisions() {
	for _, w := range s.writes[len(s.side.revisions):] {
		s.side.revisions = append(s.side.revisions, w.revision)
	}
}

func (s *session) server(what string, at int) {
	s.acts = append(s.acts, act{writes: len(s.writes), server: what, at: at})
}

// keep opens a watch that is still there when the API server ends.
func (s *session) keep(script int, r *rand.Rand) {
	k := compared[r.IntN(len(compared)-1)] // not gadgets, whose watches end when their definition changes, some time
	out := read{what: "keep", resource: k.GroupVersionResource(), partial: r.IntN(2) == 0, version: s.some(r), slot: script}
	s.ask(script, out)
	s.kept = append(s.kept, out)
}

// unborn reads what is not there yet, each of which takes seconds.
func (s *session) unborn() {
	for _, match := range []metav1.ResourceVersionMatch{metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan} {
		s.ask(-1, read{what: "list", resource: deployments.GroupVersionResource(), version: future, match: match})
	}
}

// define applies the gadgets' definition, and waits until it is served.
func (s *session) define(versions ...string) {
	s.t.Helper()
	client := s.client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	content := &unstructured.Unstructured{Object: definition(versions...)}
	if s.objects != nil {
		s.disturb()
	}
	before, err := client.Get(s.t.Context(), content.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(s.t.Context(), content, metav1.CreateOptions{})
	case err == nil:
		content.SetResourceVersion(before.GetResourceVersion())
		_, err = client.Update(s.t.Context(), content, metav1.UpdateOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.gadgets = nil
	for _, v := range versions {
		s.gadgets = append(s.gadgets, schema.GroupVersionResource{Group: gadgets.Group, Version: v, Resource: gadgets.Resource})
	}
	for _, resource := range s.gadgets {
		until(s.t, "the gadgets are served", func() bool {
			_, err := s.client.Resource(resource).List(s.t.Context(), metav1.ListOptions{})
			return err == nil
		})
	}
	if s.objects != nil {
		s.server("serve "+strings.Join(versions, " "), 0)
		s.look(gadgets)
	}
}

// withdraw deletes the gadgets' definition, and with it all of them.
func (s *session) withdraw() {
	s.t.Helper()
	for _, o := range s.objects[gadgets] {
		if len(o.GetFinalizers()) > 0 {
			s.finalize(gadgets, o.DeepCopy())
		}
	}
	client := s.client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if err := client.Delete(s.t.Context(), gadgets.Resource+"."+gadgets.Group, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.happened(gadgets, len(s.objects[gadgets]))
	until(s.t, "the gadgets are served no more", func() bool {
		_, err := s.client.Resource(s.gadgets[0]).List(s.t.Context(), metav1.ListOptions{})
		return apierrors.IsNotFound(err)
	})
	s.watches[gadgets].Stop()
	delete(s.watches, gadgets)
	s.disturb()
	s.server("serve", 0)
}

// compact lets etcd forget what was before a write.
func (s *session) compact(at int) {
	s.t.Helper()
	if out, err := plane.Etcdctl(s.t.Context(), "compact", fmt.Sprint(s.writes[at].revision)); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	s.server("compact", at)
}

// restart restarts the API server. Watches that were kept have told all before, and end.
func (s *session) restart() {
	s.t.Helper()
	for _, r := range s.kept {
		for _, k := range compared {
			if k.GroupVersionResource() == r.resource {
				r.what, r.events = "drain", s.after(k, r.version)
				s.ask(r.slot, r)
			}
		}
	}
	s.disturb()
	if err := errors.Join(plane.Kill(controlplane.APIServer), plane.StartComponent(s.t.Context(), controlplane.APIServer)); err != nil {
		s.t.Fatal(err)
	}
	s.connect()
	s.server("restart", 0)
	for _, r := range s.kept {
		r.what, r.ends = "drain", true
		s.ask(r.slot, r)
	}
	for _, resource := range s.gadgets {
		until(s.t, "the gadgets are served", func() bool {
			_, err := s.client.Resource(resource).List(s.t.Context(), metav1.ListOptions{})
			return err == nil
		})
	}
	for _, k := range compared {
		s.watches[k].Stop()
		s.look(k)
	}
}

// compare lets the session happen to the model, in virtual time.
func (s *session) compare(t *testing.T, seed uint64) {
	model := apiserver.New(seed, append([]apiserver.Kind{noise}, compared...)...)
	there := newSide(model.Dynamic(), model.Metadata())
	defer func() {
		for _, w := range there.watches {
			w.Stop()
		}
	}()
	differences := 0
	for _, a := range s.acts {
		for _, w := range s.writes[len(there.revisions):a.writes] {
			there.revisions = append(there.revisions, model.Commit(w.kind, w.what, w.object))
		}
		if a.read == nil {
			s.happens(model, there, a)
			continue
		}
		if answer := there.answer(context.Background(), *a.read); answer != a.answer {
			t.Errorf("session %d, %s\n  the API server: %s\n  the model: %s", seed, a, a.answer, answer)
			if differences++; differences > 5 {
				return
			}
		}
	}
}

func (s *session) happens(model *apiserver.Server, there *side, a act) {
	what := strings.Fields(a.server)
	switch what[0] {
	case "compact":
		model.CompactTo(there.revisions[a.at])
	case "restart":
		model.Restart(0)
		synctest.Wait()
	case "serve":
		model.Serve(gadgets, what[1:]...)
	}
}
