package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// First is the revision of what is there from the beginning.
const First = 1_000_000

// Server answers as an API server does whose objects do not change: discovery, lists in pages, and watches, streaming
// lists among them. It answers JSON alone. POST /touch has the watches deliver changes that change nothing.
type Server struct {
	kinds    []*served
	requests http.ServeMux

	mu       sync.Mutex
	revision int
	watches  map[*watcher]struct{}
}

type served struct {
	*kind
	count int
}

type watcher struct {
	kind    *served
	touched chan int // how many objects to deliver, as of a new revision
}

// New serves so many VirtualMachineInstances and so many pods, and what owns them.
func New(instanceCount, podCount int) *Server {
	s := &Server{revision: First, watches: map[*watcher]struct{}{}, kinds: kindsOf(instanceCount, podCount)}
	s.requests.HandleFunc("GET /api", s.versions)
	s.requests.HandleFunc("GET /apis", s.groups)
	s.requests.HandleFunc("POST /touch", s.touch)
	paths := map[schema.GroupVersion]string{}
	for _, k := range s.kinds {
		path := "/apis/" + k.GroupVersion().String()
		if k.Group == "" {
			path = "/api/v1"
		}
		paths[k.GroupVersion()] = path
		s.requests.HandleFunc(fmt.Sprintf("GET %s/%s", path, k.resource), func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("watch") != "" {
				s.watch(w, r, k)
			} else {
				k.list(w, r)
			}
		})
		if k.partial { // owners are asked for one by one, while they are listed
			s.requests.HandleFunc(fmt.Sprintf("GET %s/namespaces/{namespace}/%s/{name}", path, k.resource), k.get())
		}
	}
	for version, path := range paths {
		s.requests.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, s.resources(version)) })
	}
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.requests.ServeHTTP(w, r) }

// touch has the watches of pods and of instances deliver the first so many of each once more, under new revisions. It
// waits until somebody watches both, and answers how many it will be.
func (s *Server) touch(w http.ResponseWriter, r *http.Request) {
	objects, _ := strconv.Atoi(r.URL.Query().Get("objects"))
	for r.Context().Err() == nil {
		var watches []*watcher
		s.mu.Lock()
		for at := range s.watches {
			if at.kind.kind == &pods || at.kind.kind == &instances {
				watches = append(watches, at)
			}
		}
		s.mu.Unlock()
		if len(watches) == 2 {
			total := 0
			for _, at := range watches {
				at.touched <- objects
				total += min(objects, at.kind.count)
			}
			fmt.Fprint(w, total)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func answer(w http.ResponseWriter, object any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(object); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) versions(w http.ResponseWriter, _ *http.Request) {
	answer(w, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
}

func (s *Server) groups(w http.ResponseWriter, _ *http.Request) {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, k := range s.kinds {
		if k.Group == "" || slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == k.Group }) {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: k.GroupVersion().String(), Version: k.Version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: k.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
	}
	answer(w, list)
}

func (s *Server) resources(version schema.GroupVersion) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version.String()}
	for _, k := range s.kinds {
		if k.GroupVersion() == version {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: k.resource, SingularName: strings.ToLower(k.Kind), Kind: k.Kind, Namespaced: k.namespaced,
				Verbs: metav1.Verbs{"get", "list", "watch"},
			})
		}
	}
	return list
}

// list answers one page. The continue token is the number of the next object.
func (k *served) list(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	to := k.count
	if limit, _ := strconv.Atoi(r.URL.Query().Get("limit")); limit > 0 {
		to = min(to, from+limit)
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.Itoa(First)}
	if to < k.count {
		meta.Continue = strconv.Itoa(to)
	}
	head, err := json.Marshal(struct {
		metav1.TypeMeta
		Metadata metav1.ListMeta `json:"metadata"`
	}{k.listKind(), meta})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	text := append(head[:len(head)-1], `,"items":[`...)
	for i := from; i < to; i++ {
		if i > from {
			text = append(text, ',')
		}
		text = k.render(text, i, strconv.Itoa(First))
		if len(text) > 1<<20 {
			if _, err := w.Write(text); err != nil {
				return
			}
			text = text[:0]
		}
	}
	_, _ = w.Write(append(text, "]}"...)) // who has gone needs no answer
}

// get answers one object. Where it is, is found out when it is asked for first.
func (k *served) get() http.HandlerFunc {
	places := sync.OnceValue(func() map[[2]string]int {
		at := make(map[[2]string]int, k.count)
		for i := range k.count {
			words := k.words(i)
			at[[2]string{words[wordNamespace], words[wordName]}] = i
		}
		return at
	})
	return func(w http.ResponseWriter, r *http.Request) {
		i, there := places()[[2]string{r.PathValue("namespace"), r.PathValue("name")}]
		if !there {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(k.render(nil, i, strconv.Itoa(First))) // who has gone needs no answer
	}
}

// watch delivers what is there, when that is asked for, then what is touched.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, k *served) {
	w.Header().Set("Content-Type", "application/json")
	at := &watcher{kind: k, touched: make(chan int, 16)}
	s.mu.Lock()
	s.watches[at] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, at)
	}()
	out := http.NewResponseController(w)
	stream := func(change string, count int, version func() string) bool {
		var text []byte
		for i := range count {
			text = append(text[:0], `{"type":"`+change+`","object":`...)
			text = append(k.render(text, i, version()), "}\n"...)
			if _, err := w.Write(text); err != nil {
				return false
			}
		}
		return out.Flush() == nil
	}
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		if !stream("ADDED", k.count, func() string { return strconv.Itoa(First) }) {
			return
		}
		type metadata struct {
			ResourceVersion string            `json:"resourceVersion"`
			Annotations     map[string]string `json:"annotations"`
		}
		kind := metav1.TypeMeta{APIVersion: k.GroupVersion().String(), Kind: k.Kind}
		if k.partial {
			kind = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}
		}
		bookmark, err := json.Marshal(map[string]any{"type": "BOOKMARK", "object": struct {
			metav1.TypeMeta
			Metadata metadata `json:"metadata"`
		}{kind, metadata{strconv.Itoa(First), map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}})
		if err != nil {
			panic(err)
		}
		if _, err := w.Write(append(bookmark, '\n')); err != nil {
			return
		}
	}
	if out.Flush() != nil {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case count := <-at.touched:
			if !stream("MODIFIED", min(count, k.count), s.next) {
				return
			}
		}
	}
}

// next is a new revision.
func (s *Server) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	return strconv.Itoa(s.revision)
}
