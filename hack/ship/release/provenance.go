package release

import (
	"bytes"
	"encoding/json"
	"fmt"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	predicateType = "https://slsa.dev/provenance/v1"
	// buildType says what the parameters mean, and how to build the same again.
	buildType = repository + "/blob/main/docs/releasing.md#build-type-v1"
)

// provenance says what the release was made from, and how: SLSA's predicate, without times, so that it is the same
// whenever it is made.
func (o Options) provenance(goVersion string) (*slsa.Provenance, error) {
	parameters, err := structpb.NewStruct(map[string]any{"version": o.Version, "registry": o.Registry})
	if err != nil {
		return nil, err
	}
	made := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: buildType, ExternalParameters: parameters,
			ResolvedDependencies: []*intoto.ResourceDescriptor{
				{Uri: "git+" + repository + "@" + o.Version, Digest: map[string]string{"gitCommit": o.Commit}},
				{Uri: "pkg:golang/go@" + goVersion, Name: "go"},
			},
		},
		RunDetails: &slsa.RunDetails{Builder: &slsa.Builder{Id: o.Builder}},
	}
	return made, made.Validate()
}

// statement says of what it is the provenance.
func statement(of *slsa.Provenance, subjects []*intoto.ResourceDescriptor) ([]byte, error) {
	text, err := protojson.Marshal(of)
	if err != nil {
		return nil, err
	}
	predicate := &structpb.Struct{}
	if err := protojson.Unmarshal(text, predicate); err != nil {
		return nil, err
	}
	made := &intoto.Statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: predicateType, Predicate: predicate}
	if err := made.Validate(); err != nil {
		return nil, err
	}
	return stable(made)
}

// stable is the message as JSON: the library puts spaces in at random.
func stable(of proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(of)
	if err != nil {
		return nil, err
	}
	made := &bytes.Buffer{}
	if err := json.Indent(made, text, "", "  "); err != nil {
		return nil, err
	}
	made.WriteByte('\n')
	return made.Bytes(), nil
}

// readStatement reads a statement of provenance, and fails where something is missing that SLSA asks for.
func readStatement(text []byte) (*intoto.Statement, *slsa.Provenance, error) {
	made := &intoto.Statement{}
	if err := protojson.Unmarshal(text, made); err != nil {
		return nil, nil, err
	}
	if err := made.Validate(); err != nil {
		return nil, nil, err
	}
	if made.GetPredicateType() != predicateType {
		return nil, nil, fmt.Errorf("the statement is of type %q", made.GetPredicateType())
	}
	predicate, err := protojson.Marshal(made.GetPredicate())
	if err != nil {
		return nil, nil, err
	}
	of := &slsa.Provenance{}
	if err := protojson.Unmarshal(predicate, of); err != nil {
		return nil, nil, err
	}
	return made, of, of.Validate()
}
