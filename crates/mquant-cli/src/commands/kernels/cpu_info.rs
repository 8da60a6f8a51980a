//! What the system calls this CPU.

/// Longest name that is printed, in characters.
const LONGEST: usize = 100;

/// The model name of `/proc/cpuinfo`; None where the system does not say.
pub(super) fn model_name() -> Option<String> {
    name_in(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn name_in(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let name: String = line.split_once(':')?.1.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_as_the_kernel_writes_it() {
        let text = "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 17\nmodel name\t: Fast CPU 9 @ 3: GHz\nprocessor\t: 1\n";
        assert_eq!(name_in(text).as_deref(), Some("Fast CPU 9 @ 3: GHz"));
        assert_eq!(name_in("model name\t:  \n"), None);
        assert_eq!(name_in("CPU part\t: 0xd0c\n"), None);
    }
}
