package ledger

// departed are the objects that are gone, as long as their segments are held as they are: those
// that are packed are not among them. They are linked in the order in which they were put in,
// so that whoever packs them can go on where it was.
type departed struct {
	index
	first, last *object
	count       int
	went        uint64 // how many have gone
}

// add puts an object in that is gone. Among those of its UID the one that went last comes first,
// also where one was packed in between.
func (p *departed) add(at *object) {
	if at.went == 0 {
		p.went++
		at.went = p.went
	}
	if first := p.index[at.uid]; first == nil || first.went < at.went {
		p.index.add(at)
	} else {
		for first.next != nil && first.next.went > at.went {
			first = first.next
		}
		at.next, first.next = first.next, at
	}
	p.count++
	p.link(at)
}

func (p *departed) remove(at *object) {
	p.index.remove(at)
	at.went = 0
	p.count--
	p.unlink(at)
}

// link puts an object at the end.
func (p *departed) link(at *object) {
	at.before, at.after = p.last, nil
	if p.last != nil {
		p.last.after = at
	} else {
		p.first = at
	}
	p.last = at
}

func (p *departed) unlink(at *object) {
	if at.before != nil {
		at.before.after = at.after
	} else {
		p.first = at.after
	}
	if at.after != nil {
		at.after.before = at.before
	} else {
		p.last = at.before
	}
	at.before, at.after = nil, nil
}
