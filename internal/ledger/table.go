package ledger

// table finds the places of what is packed by the hashes of UIDs: in 8 bytes each. It says
// where something may be, for 40 bits of a hash may be another's, too; whoever asks looks.
// Places that are no more are left out when room is made.
type table struct {
	shards [256]shard
	alive  func(place) bool
}

// place is a block's number, and where in it an object is. The zero value is none.
type place uint32

const (
	// placeBits is of how many bits an object's number in its block is.
	placeBits = 9
	// blockObjects is how many objects a block has at most.
	blockObjects = 1 << placeBits
	// blockNumbers is how many numbers of blocks there are.
	blockNumbers = 1 << (32 - placeBits)
)

func placeOf(block uint32, object int) place { return place(block<<placeBits | uint32(object)) }

func (p place) block() uint32 { return uint32(p) >> placeBits }

func (p place) object() int { return int(p % blockObjects) }

// shard has slots, of which never all are used: where a search meets an unused one it ends.
type shard struct {
	slots []slot
	used  int
}

type slot struct {
	hash uint32
	at   place
}

// start is where the search for a hash begins.
func (s *shard) start(hash uint32) int { return int(uint64(hash) * uint64(len(s.slots)) >> 32) }

func (s *shard) put(hash uint32, at place) {
	i := s.start(hash)
	for s.slots[i].at != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = slot{hash: hash, at: at}
	s.used++
}

// add puts a place in.
func (t *table) add(hash uint64, at place) {
	s := &t.shards[hash>>56]
	if (s.used+1)*8 > len(s.slots)*7 {
		t.rebuild(s)
	}
	s.put(uint32(hash), at)
}

// rebuild makes room in a shard for half as many places again.
func (t *table) rebuild(s *shard) {
	alive := 0
	for _, x := range s.slots {
		if x.at != 0 && t.alive(x.at) {
			alive++
		}
	}
	before := s.slots
	s.slots, s.used = make([]slot, alive*3/2+8), 0
	for _, x := range before {
		if x.at != 0 && t.alive(x.at) {
			s.put(x.hash, x.at)
		}
	}
}

// find calls visit with the places at which what has the hash may be.
func (t *table) find(hash uint64, visit func(place)) {
	s := &t.shards[hash>>56]
	if s.used == 0 {
		return
	}
	for i := s.start(uint32(hash)); s.slots[i].at != 0; {
		if s.slots[i].hash == uint32(hash) && t.alive(s.slots[i].at) {
			visit(s.slots[i].at)
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}
