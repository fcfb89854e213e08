# test/image does what is said here, without a container, and knows these instructions only.
# Both images can be replaced: --build-arg BUILDER=... --build-arg BASE=...
ARG BUILDER=golang:1.26
ARG BASE=gcr.io/distroless/static:nonroot

FROM ${BUILDER} AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src
# Modules first: they change less often than the code, and the layer is kept.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /usage-operator .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /usage-hub ./cmd/usage-hub

FROM ${BASE}
COPY --from=build /usage-operator /usage-operator
COPY --from=build /usage-hub /usage-hub
USER 65532:65532
ENTRYPOINT ["/usage-operator"]
