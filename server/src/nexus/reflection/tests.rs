use super::*;
use prost_types::{DescriptorProto, FieldDescriptorProto, MessageOptions, ServiceDescriptorProto};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// As from xorshift: enough to spoil bytes.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

fn shop() -> Vec<FileDescriptorProto> {
    let set = prost_types::FileDescriptorSet::decode(example_services::FILE_DESCRIPTOR_SET);
    set.expect("the descriptors decode").file
}

fn files(of: Vec<FileDescriptorProto>) -> Files {
    of.into_iter()
        .map(|file| (file.name().to_owned(), file))
        .collect()
}

#[test]
fn a_description_becomes_the_service_and_its_messages() {
    let pool = build(files(shop())).expect("it is fine");
    assert!(pool.get_service_by_name("shop.v1.Payments").is_some());
}

#[test]
fn an_entry_of_a_map_without_its_fields_is_refused() {
    let entry = DescriptorProto {
        name: Some("AEntry".into()),
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..DescriptorProto::default()
    };
    let field = FieldDescriptorProto {
        name: Some("a".into()),
        number: Some(1),
        label: Some(3),
        r#type: Some(11),
        type_name: Some(".Odd.AEntry".into()),
        ..FieldDescriptorProto::default()
    };
    let odd = FileDescriptorProto {
        name: Some("odd.proto".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto {
            name: Some("Odd".into()),
            field: vec![field],
            nested_type: vec![entry],
            ..DescriptorProto::default()
        }],
        service: vec![ServiceDescriptorProto::default()],
        ..FileDescriptorProto::default()
    };
    assert!(build(files(vec![odd])).is_err());
}

/// Whatever bytes a peer says are descriptors, and whatever it then answers, there is an error and no panic that leaves this file and
/// `steps/dynamic`. The library's own panics over descriptors that make no sense are caught by both.
#[test]
fn descriptors_that_are_spoiled_are_refused_or_used_and_never_bring_us_down() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5eed_0006_u64);
    eprintln!("SEED={seed}");
    let mut chance = Chance(seed);
    let whole: Vec<Vec<u8>> = shop().iter().map(Message::encode_to_vec).collect();
    let (mut built, mut used) = (0, 0);
    for _ in 0..3_000 {
        let mut spoiled = whole.clone();
        for _ in 0..=chance.below(6) {
            let file = chance.below(spoiled.len());
            let at = chance.below(spoiled[file].len());
            match chance.below(3) {
                0 => spoiled[file][at] = u8::try_from(chance.below(256)).expect("a byte"),
                1 => spoiled[file][at] ^= 1 << chance.below(8),
                _ => drop(spoiled[file].remove(at)),
            }
        }
        let decoded: Result<Vec<_>, _> = spoiled
            .iter()
            .map(|bytes| FileDescriptorProto::decode(&**bytes))
            .collect();
        let Ok(decoded) = decoded else { continue };
        let Ok(Ok(pool)) = catch_unwind(AssertUnwindSafe(|| build(files(decoded)))) else {
            continue;
        };
        built += 1;
        let junk: Vec<u8> = (0..chance.below(64))
            .map(|_| u8::try_from(chance.below(256)).expect("a byte"))
            .collect();
        for message in pool.all_messages() {
            used += 1;
            crate::nexus::steps::try_out(message, &junk);
        }
    }
    assert!(built > 20 && used > 1_000, "{built} pools, {used} messages");
}
