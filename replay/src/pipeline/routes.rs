//! Which image a container's events are learned under, found by where the container's id is held.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::engines::sight::place;

/// Ids remembered before all are forgotten. Each container is there a few times: once for each class, and after its reader has
/// begun to share strings anew.
const MOST: usize = 1 << 14;

/// An image, or none where nothing is done about the container's events.
type Image = Option<Arc<str>>;

/// Images by the place where a container's id is held.
#[derive(Default)]
pub struct Routes {
    known: HashMap<usize, (Arc<str>, Image), RandomState>,
    host: Option<Image>,
}

impl Routes {
    /// The image of a container; `find`: where it is not known yet.
    pub fn image(&mut self, container: Option<&Arc<str>>, find: impl FnOnce() -> Image) -> Option<&Arc<str>> {
        let Some(id) = container else { return self.host.get_or_insert_with(find).as_ref() };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.entry(place(id)).or_insert_with(|| (Arc::clone(id), find())).1.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_once_for_each_id_that_is_held() {
        let (mut routes, mut found) = (Routes::default(), 0);
        let [a, same, host] = [Some(Arc::from("a")), Some(Arc::from("a")), None::<Arc<str>>];
        for (id, image) in [(&a, "x"), (&same, "x"), (&host, "y"), (&a, "z"), (&same, "z"), (&host, "z")] {
            let known = routes.image(id.as_ref(), || {
                found += 1;
                Some(image.into())
            });
            assert_eq!(known.map(|image| &**image), Some(if id.is_some() { "x" } else { "y" }));
        }
        assert_eq!(found, 3);
    }
}
