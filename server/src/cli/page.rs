//! Which field of a reply is the list that pages go on, so that all pages can be read as one reply.

use amadeus_proto::v1::{
    DependenciesRequest, DependenciesResponse, FindByCapabilityRequest, FindByCapabilityResponse,
    ImpactRequest, ImpactResponse, ListApiKeysRequest, ListApiKeysResponse, ListBackupsRequest,
    ListBackupsResponse, ListDeadLettersRequest, ListDeadLettersResponse, ListEntitiesRequest,
    ListEntitiesResponse, ListGroupsRequest, ListGroupsResponse, ListLeasesRequest,
    ListLeasesResponse, ListPatternsRequest, ListPatternsResponse, ListRelationsRequest,
    ListRelationsResponse, ListRunsRequest, ListRunsResponse, ListServicesRequest,
    ListServicesResponse, ListUsersRequest, ListUsersResponse, NeighborsRequest, NeighborsResponse,
    SearchRequest, SearchResponse, ValidateRequest, ValidateResponse,
};

/// A request that asks for one page.
pub trait PageRequest: Clone {
    /// Asks for the page at this token, of at most this size (0: the server's own).
    fn turn_to(&mut self, token: String, size: u32);
}

/// A reply that holds one page.
pub trait Page {
    /// How many items it holds.
    fn len(&self) -> usize;
    /// Asks for the next page; empty after the last.
    fn next_token(&self) -> &str;
    /// Takes the items of the page that follows, and its place.
    fn append(&mut self, next: Self);
    /// Keeps the first items only.
    fn truncate(&mut self, len: usize);
}

macro_rules! pages {
    ($($request:ty => $reply:ty [$items:ident]),+ $(,)?) => {$(
        impl PageRequest for $request {
            fn turn_to(&mut self, token: String, size: u32) {
                self.page_token = token;
                self.page_size = size;
            }
        }

        impl Page for $reply {
            fn len(&self) -> usize {
                self.$items.len()
            }

            fn next_token(&self) -> &str {
                &self.next_page_token
            }

            fn append(&mut self, next: Self) {
                self.$items.extend(next.$items);
                self.next_page_token = next.next_page_token;
            }

            fn truncate(&mut self, len: usize) {
                self.$items.truncate(len);
            }
        }
    )+};
}

pages! {
    ListServicesRequest => ListServicesResponse[services],
    ListEntitiesRequest => ListEntitiesResponse[entities],
    ListRelationsRequest => ListRelationsResponse[relations],
    ListBackupsRequest => ListBackupsResponse[backups],
    ListLeasesRequest => ListLeasesResponse[leases],
    ListPatternsRequest => ListPatternsResponse[patterns],
    ListRunsRequest => ListRunsResponse[runs],
    ListGroupsRequest => ListGroupsResponse[groups],
    ListDeadLettersRequest => ListDeadLettersResponse[letters],
    ListUsersRequest => ListUsersResponse[users],
    ListApiKeysRequest => ListApiKeysResponse[api_keys],
    ValidateRequest => ValidateResponse[findings],
    DependenciesRequest => DependenciesResponse[hits],
    ImpactRequest => ImpactResponse[hits],
    NeighborsRequest => NeighborsResponse[hits],
    FindByCapabilityRequest => FindByCapabilityResponse[services],
    SearchRequest => SearchResponse[entities],
}
