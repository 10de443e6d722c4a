"""A client of Amadeus that needs only grpcio and grpcio-reflection: no generated code, no .proto files.

It asks the server what it offers (gRPC reflection), builds the message classes from the answer, and speaks in dictionaries:

    client = Client("127.0.0.1:50051")
    client.call("amadeus.v1.GraphService/GetService", {"name": "checkout"})["service"]["dependencies"]

A method's kind decides what `call` takes and gives: a unary call a dictionary for a dictionary, a server stream a `Stream` of
dictionaries, a client stream takes an iterable of dictionaries. Errors are `grpc.RpcError`, with `code()` and `details()`.
A `Client` may be shared by threads.

Where one has to sign in, `metadata` says who calls, with an access token or an API key, and `credentials` trusts the server's
certificate:

    with open("ca.pem", "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    client = Client("graph.example.com:50051", metadata=[("authorization", f"Bearer {key}")], credentials=credentials)
"""

import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

# The server's own bound on one message, and room for its framing.
MESSAGE_BYTES = 64 * 1024 * 1024


class Client:
    """One connection to one server."""

    def __init__(self, address, timeout=30.0, metadata=(), options=(), credentials=None):
        """`timeout` is the deadline in seconds of every call that names none; streams have none of their own."""
        self.timeout = timeout
        self.metadata = tuple(metadata)
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            # Each client its own connection: channels with the same options would share one.
            ("grpc.use_local_subchannel_pool", 1),
            *options,
        ]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options)
        self._pool = descriptor_pool.DescriptorPool()
        self._methods = {}
        self._lock = threading.Lock()

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, request=None, timeout=None, metadata=()):
        """Calls `package.Service/Method` with a dictionary (or an iterable of them) in the proto's own field names."""
        described = self._method(method)
        if described.client_streaming:
            sent = (described.encode(one) for one in request)
        else:
            sent = described.encode(request or {})
        return self._invoke(described, sent, timeout, metadata, described.decode)

    def raw(self, method, sent, timeout=None):
        """Sends bytes as they are, whatever they mean, and returns the reply's bytes."""
        return self._invoke(self._method(method), sent, timeout, (), bytes)

    def services(self):
        """The full names of the services that the server offers."""
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        return sorted(found.name for found in self._reflect(request).list_services_response.service)

    def methods(self, service):
        """The methods of one service, as `call` takes them."""
        return [f"{service}/{found.name}" for found in self._service(service).methods]

    def message(self, name):
        """The message class with this full name, once a method that carries it has been called."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def encode(self, method, request):
        """The bytes of a request, for a test that wants to damage them."""
        return self._method(method).encode(request)

    def _invoke(self, method, sent, timeout, metadata, decode):
        metadata = self.metadata + tuple(metadata)
        if method.server_streaming:
            return Stream(method.callable(sent, timeout=timeout, metadata=metadata), decode)
        return decode(method.callable(sent, timeout=timeout or self.timeout, metadata=metadata))

    def _method(self, name):
        method = self._methods.get(name)
        if method is None:
            service, _, short = name.partition("/")
            with self._lock:
                described = self._service(service).methods_by_name.get(short)
                if described is None:
                    raise KeyError(f"{service} has no method {short}")
                method = self._methods[name] = Method(self.channel, name, described)
        return method

    def _service(self, name):
        try:
            return self._pool.FindServiceByName(name)
        except KeyError:
            request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
            self._learn(self._reflect(request))
            return self._pool.FindServiceByName(name)

    def _learn(self, response):
        """Adds the files of a reflection answer to the pool, each after the files that it imports."""
        files = {}
        for encoded in response.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            files[file.name] = file

        def add(name):
            try:
                self._pool.FindFileByName(name)
                return
            except KeyError:
                pass
            if name not in files:
                request = reflection_pb2.ServerReflectionRequest(file_by_filename=name)
                for encoded in self._reflect(request).file_descriptor_response.file_descriptor_proto:
                    file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
                    files[file.name] = file
            for imported in files[name].dependency:
                add(imported)
            self._pool.Add(files[name])

        for name in list(files):
            add(name)

    def _reflect(self, request):
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        response = next(stub.ServerReflectionInfo(iter([request]), timeout=self.timeout, metadata=self.metadata))
        if response.HasField("error_response"):
            raise KeyError(response.error_response.error_message)
        return response


class Method:
    """One method: its message classes, and the call that carries bytes."""

    def __init__(self, channel, name, described):
        self.client_streaming = described.client_streaming
        self.server_streaming = described.server_streaming
        self._request = message_factory.GetMessageClass(described.input_type)
        self._response = message_factory.GetMessageClass(described.output_type)
        shape = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }[self.client_streaming, self.server_streaming]
        self.callable = shape(f"/{name}")

    def encode(self, request):
        return json_format.ParseDict(request, self._request()).SerializeToString()

    def decode(self, received):
        return as_dict(self._response.FromString(received))


class Stream:
    """The replies of a server stream, in order, as they arrive; `cancel` ends it."""

    def __init__(self, call, decode):
        self._call = call
        self._decode = decode

    def __iter__(self):
        return self

    def __next__(self):
        return self._decode(next(self._call))

    def cancel(self):
        self._call.cancel()

    def started(self):
        """Waits until the server has accepted the stream."""
        self._call.initial_metadata()
        return self


def as_dict(message):
    """A message as a dictionary: field names as in the proto, 64-bit numbers as numbers, enums by name.

    Plain fields are always present; messages, and fields that are marked `optional`, only if they were set.
    """
    name = message.DESCRIPTOR.full_name
    if name.startswith("google.protobuf."):
        return json_format.MessageToDict(message)
    return {
        field.name: _field(message, field)
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(message, field):
    value = getattr(message, field.name)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        of_value = entry.fields_by_name["value"]
        return {key: _value(of_value, value[key]) for key in value}
    if field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED:
        return [_value(field, one) for one in value]
    return _value(field, value)


def _value(field, value):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return as_dict(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value
