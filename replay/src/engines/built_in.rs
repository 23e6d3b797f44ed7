//! The rules that ship.

macro_rules! built_in {
    ($($file:literal)*) => {
        /// `(file name, text)` of the rules that ship.
        pub(super) const BUILT_IN: &[(&str, &str)] = &[$(($file, include_str!(concat!("../../rules/", $file)))),*];
    };
}

built_in! {
    "account_command.yml" "account_file_write.yml" "bpf_program_loaded.yml" "bytes_beyond_profile.yml"
    "capability_granted.yml"
    "chmod_command_in_temp.yml" "chmod_in_temp.yml" "cloud_metadata.yml" "command_injection.yml"
    "connections_fail.yml" "container_recon_tool.yml" "cpu_surge.yml" "crash_then_shell.yml"
    "credential_file_read.yml" "credential_search.yml" "cron_persistence.yml" "debugger_attached.yml"
    "decode_to_shell.yml" "deleted_executable.yml" "destruction_command.yml" "deviation_then_connection.yml"
    "deviation_then_write.yml" "dns_long_label.yml" "dns_many_names.yml" "dns_names_missing.yml"
    "download_chmod_run.yml" "download_to_shell.yml" "download_to_temp.yml" "encryption_command.yml"
    "escape_chroot.yml" "escape_kernel_helper.yml" "escape_mount.yml" "escape_nsenter.yml"
    "escape_runtime_socket.yml" "fan_out.yml" "fileless_execution.yml" "files_deleted_in_bulk.yml"
    "files_renamed_in_bulk.yml" "firewall_flushed.yml" "fork_bomb.yml" "history_command.yml" "history_deleted.yml"
    "http_attack_path.yml" "immutable_attribute.yml" "io_uring_made.yml" "kernel_key_read.yml"
    "kernel_module_command.yml" "kernel_module_loaded.yml" "log_deleted.yml" "log_emptied.yml"
    "login_module_written.yml" "many_crashes.yml" "many_processes_killed.yml" "memory_file_run.yml"
    "miner_command_line.yml" "mining_pool.yml" "mining_port.yml" "mount_in_container.yml" "mount_of_host.yml"
    "namespace_entered.yml" "network_scanner.yml" "onion_service.yml" "password_guessing.yml"
    "peer_of_many_containers.yml" "plaintext_login.yml" "port_sweep.yml" "preload_hijack.yml" "private_key_read.yml"
    "process_memory_read.yml" "process_taken_over.yml" "raw_disk_read.yml" "raw_disk_write.yml"
    "raw_tcp_socket.yml" "reverse_shell.yml" "root_gained.yml" "security_tool_stopped.yml"
    "service_account_token_read.yml" "service_written.yml" "setuid_set.yml" "shadow_read.yml"
    "shell_from_web_server.yml" "shell_profile_written.yml" "signal_across_containers.yml" "ssh_forwarding.yml"
    "ssh_key_write.yml" "store_asked_without_password.yml" "store_new_client.yml" "syn_flood.yml"
    "syn_flood_raw.yml" "temp_execution.yml" "timestamp_set.yml"
    "tunnel_tool.yml" "unknown_peer_bytes.yml" "upload_command.yml" "user_namespace_made.yml"
    "web_script_written.yml" "writable_code.yml"
}
