//! Colours of pictures: middle tones that hold on a light and on a dark page; the background is the page's.

use plotters::style::RGBColor;

pub const GREY: RGBColor = RGBColor(136, 136, 136);
pub const BLUE: RGBColor = RGBColor(66, 133, 190);
pub const AMBER: RGBColor = RGBColor(200, 140, 40);
pub const YELLOW: RGBColor = RGBColor(214, 162, 60);
pub const GREEN: RGBColor = RGBColor(78, 154, 106);
pub const RED: RGBColor = RGBColor(205, 60, 60);
pub const PURPLE: RGBColor = RGBColor(190, 90, 170);
