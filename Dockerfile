# The server in an image: built from this folder, run as a user without rights.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package amadeus && cp target/release/amadeus /amadeus

FROM debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/amadeus --create-home amadeus
COPY --from=build /amadeus /usr/local/bin/amadeus
USER amadeus
WORKDIR /var/lib/amadeus
EXPOSE 50051 9090
# Within a container every address is beyond loopback: publish its ports to trusted networks only.
ENV AMADEUS_INSECURE=true AMADEUS_LISTEN=0.0.0.0:50051 AMADEUS_HTTP=0.0.0.0:9090
ENTRYPOINT ["amadeus"]
CMD ["serve"]
